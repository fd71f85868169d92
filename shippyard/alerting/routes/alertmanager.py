"""Owns Prometheus's Alertmanager, API v2: alerts that live as long as they are told again.

An Alertmanager keeps alerts in memory alone: one that restarts knows none. So each that fires is
told again every 30 s, and each that ended for five minutes. Peers share what they sent, and not
what they were sent: each is told all.

The labels are an alert's identity, so no pid and no query is among them. `alertname` is that of
the Prometheus rule for the same condition, where there is one, so that one of the two can inhibit
the other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.evidence import bounded_evidence
from shippyard.alerting.incidents import SEVERITIES
from shippyard.alerting.routes.posting import Address, Poster, address_of, parse_url, poster_of
from shippyard.config.alerting import Route as RouteConfig

REFRESH_EVERY_S = 30.0
LASTS = timedelta(hours=1)
"""Until when an alert counts that nobody tells again. Longer than a daemon is ever updated: its
silence must not look like the end of trouble. That it is dead is for the heartbeat to say."""
AT_ONCE_MAX = 200
EVIDENCE_MAX_BYTES = 4 * 1024

SAME_AS: Mapping[str, str] = {
    "backup_untrusted": "ShippyardBackupUnverified",
    "blocked": "ShippyardBlockedSessions",
    "check_failing": "ShippyardCheckFailing",
    "checksum_failure": "ShippyardChecksumFailures",
    "daemon_degraded": "ShippyardLoopStuck",
    "delivery_dead": "ShippyardMessageUndeliverable",
    "job_missed": "ShippyardJobOverdue",
    "long_running": "ShippyardLongRunningQueries",
    "offsite_failed": "ShippyardOffsiteLate",
    "unreachable": "ShippyardDatabaseDown",
    "wal_slot": "ShippyardWalSlotRetains",
}
"""Rules whose counterpart in config/prometheus is called otherwise."""


@dataclass(frozen=True)
class Alertmanager:
    """One Alertmanager, or several that are peers. `timeout_s` is for all of them together."""

    name: str
    timeout_s: float
    addresses: tuple[Address, ...] = field(repr=False)
    poster: Poster = field(repr=False)
    refresh_every_s: float = REFRESH_EVERY_S

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """Tell all peers of one event; one that takes it is enough, for the rest is told again."""
        if message["event"] == "acknowledge":
            return Answer("sent", "nothing to tell: an Alertmanager knows no acknowledging")
        return self.refresh([message], now)

    def refresh(self, messages: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
        """Tell all peers how these stand."""
        answer = Answer("sent", "nothing to tell")
        for first in range(0, len(messages), AT_ONCE_MAX):
            alerts = [
                alert
                for each in messages[first : first + AT_ONCE_MAX]
                for alert in alerts_of(each, now)
            ]
            answer = self._tell_all(json.dumps(alerts).encode(), now)
            if answer.kind != "sent":
                break
        return answer

    def _tell_all(self, body: bytes, now: datetime) -> Answer:
        headers = {"Content-Type": "application/json"}
        answers = [
            self.poster.post(address.below("/api/v2/alerts"), body, headers, now)
            for address in self.addresses
        ]
        return next((answer for answer in answers if answer.kind == "sent"), answers[0])


def alerts_of(message: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """A message as an alert; one that is told again ends those of lower severity.

    For severity is a label, so that what gets worse is another alert to an Alertmanager.
    """
    alert = alert_of(message, now)
    if message["event"] != "repeat":
        return [alert]
    milder = SEVERITIES[: SEVERITIES.index(message["incident"]["severity"])]
    over = {"endsAt": now.isoformat(timespec="milliseconds")}
    return [
        alert,
        *(alert | over | {"labels": alert["labels"] | {"severity": each}} for each in milder),
    ]


def alert_of(message: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A message as an alert; what it holds beside its identity are annotations."""
    incident = message["incident"]
    ends = incident["resolved_at"] or (now + LASTS).isoformat(timespec="milliseconds")
    alert = {
        "labels": labels_of(message),
        "annotations": _annotations(incident),
        "startsAt": incident["since"],
        "endsAt": ends,
    }
    runbook = incident["runbook"]
    return alert | ({"generatorURL": runbook} if runbook.startswith("http") else {})


def labels_of(message: Mapping[str, Any]) -> dict[str, str]:
    """What makes an alert the same alert."""
    incident = message["incident"]
    labels = {
        "alertname": name_of(incident["rule"]),
        "source": "shippyard",
        "rule": incident["rule"],
        "cluster": incident["cluster"],
        "database": incident["database"],
        "severity": incident["severity"],
        "environment": message["environment"],
    }
    return labels | ({"subject": incident["subject"]} if incident["subject"] else {})


def name_of(rule: str) -> str:
    """What an alert of a rule is called."""
    words = rule.replace("-", "_").split("_")
    return SAME_AS.get(rule) or "Shippyard" + "".join(word.capitalize() for word in words)


def _annotations(incident: Mapping[str, Any]) -> dict[str, str]:
    told = {
        "summary": incident["summary"],
        "action": incident["action"],
        "runbook_url": incident["runbook"],
        "incident": incident["id"],
        "evidence": json.dumps(bounded_evidence(incident["evidence"], EVIDENCE_MAX_BYTES)),
    }
    return {name: str(value) for name, value in told.items() if value}


def from_config(config: RouteConfig) -> Alertmanager:
    """The Alertmanagers that config names.

    Raises:
        SecretMissing: a credential can't be read.
        UrlUnusable: a URL is none.
    """
    peers = [parse_url(config.name, peer, "peer") for peer in config.peers]
    addresses = (address_of(config), *peers)
    poster = poster_of(config, addresses[0])
    return Alertmanager(config.name, config.timeout_s * len(addresses), addresses, poster)
