"""Owns reading what arrives at on-call's tools: which event of which incident a message tells of.

One reader for each kind of tool; a reader knows the tool's own document and nothing of the network.
"""

import email
import email.policy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TITLES: Mapping[str, str] = {
    "[FIRING": "trigger",
    "[STILL FIRING": "repeat",
    "[TAKEN ON": "acknowledge",
    "[RESOLVED": "resolve",
}
_REFERENCE = re.compile(r"<([^@>]+)@")


@dataclass(frozen=True)
class Told:
    """What one message says. `key` is the same for every attempt at it."""

    event: str
    incident: str
    rule: str
    key: str


Reader = Callable[[bytes], Sequence[Told]]


def read_webhook(body: bytes) -> Sequence[Told]:
    """Our own document."""
    said = json.loads(body)
    incident = said["incident"]
    return (Told(said["event"], incident["id"], incident["rule"], said["idempotency_key"]),)


def read_pagerduty(body: bytes) -> Sequence[Told]:
    """An event of the Events API v2; a resolve names no rule."""
    said = json.loads(body)
    event, incident = said["event_action"], said["dedup_key"]
    rule = said.get("payload", {}).get("class", "")
    return (Told(event, incident, rule, f"{incident}.{event}"),)


def read_slack(body: bytes) -> Sequence[Told]:
    """A chat's message: its title has the event and the rule, its footnote the incident's id."""
    said = json.loads(body)
    footnote = said["attachments"][0]["blocks"][-1]["elements"][-1]["text"]
    return (_titled(said["text"], footnote.split()[-1]),)


def read_alertmanager(body: bytes) -> Sequence[Told]:
    """What an Alertmanager posts to a webhook: one alert for each incident of a group."""
    return [_alert(each) for each in json.loads(body)["alerts"]]


def read_mail(body: bytes) -> Sequence[Told]:
    """An e-mail: the subject has the event and the rule, its thread the incident's id."""
    mail = email.message_from_bytes(body, policy=email.policy.default)
    thread = _REFERENCE.search(str(mail["References"]))
    return (_titled(str(mail["Subject"]), thread.group(1) if thread else ""),)


def read_nothing(_: bytes) -> Sequence[Told]:
    """For receivers of which only the body counts."""
    return ()


def _alert(alert: Mapping[str, Any]) -> Told:
    event = "trigger" if alert["status"] == "firing" else "resolve"
    labels = alert["labels"]
    incident = alert["annotations"].get("incident", labels["alertname"])
    rule = labels.get("rule", labels["alertname"])
    return Told(event, incident, rule, f"{incident}.{event}")


def _titled(title: str, incident: str) -> Told:
    event = next((told for word, told in _TITLES.items() if title.startswith(word)), "unknown")
    rule = title.partition("] ")[2].split(" ")[0]
    return Told(event, incident, rule, f"{incident}.{event}")
