"""What each route makes of a message: documents as receivers describe them, bounded, escaped."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from shippyard.alerting.incidents import Event, Incident
from shippyard.alerting.message import compose
from shippyard.alerting.routes.alertmanager import alert_of, labels_of, name_of
from shippyard.alerting.routes.email import composed
from shippyard.alerting.routes.pagerduty import change_of, event_of
from shippyard.alerting.routes.plain import body, title
from shippyard.alerting.routes.slack import document_of
from shippyard.alerting.routes.webhook import signature_of
from shippyard.config.alerting import Mail

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RUNBOOK = "https://runbooks.example/r.md#blocked"
INCIDENT = Incident(
    fingerprint="0123456789abcdef",
    rule="blocked",
    cluster="main",
    database="shop",
    severity="page",
    state="firing",
    summary="3 blocked by pid 42 <@U1>: SELECT 1 & 2",
    evidence={"roots": [{"pid": 42}], "action": "SELECT pg_cancel_backend(42)"},
    pending_at=NOW,
    since_s=0.0,
    seen_at=NOW,
    firing_at=NOW,
)
OVER = replace(INCIDENT, state="resolved", resolved_at=NOW + timedelta(minutes=3))
RULES = Path(__file__).parents[3] / "config" / "prometheus" / "shippyard.rules.yml"


def message(event: Event = "trigger", incident: Incident = INCIDENT) -> dict[str, Any]:
    return compose(incident, event, "production", NOW, runbook=RUNBOOK)


def test_pagerduty_triggers_and_resolves_by_the_incident() -> None:
    event = event_of(message(), "KEY")
    assert (event["routing_key"], event["event_action"]) == ("KEY", "trigger")
    assert event["dedup_key"] == INCIDENT.id
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["custom_details"]["action"] == "SELECT pg_cancel_backend(42)"
    assert event["links"] == [{"href": RUNBOOK, "text": "Runbook"}]
    ended = event_of(message("resolve", OVER), "KEY")
    assert ended == {
        "routing_key": "KEY",
        "event_action": "resolve",
        "dedup_key": INCIDENT.id,
    }
    assert event_of(message("acknowledge"), "KEY")["event_action"] == "acknowledge"
    assert event_of(message("repeat"), "KEY")["dedup_key"] == INCIDENT.id


def test_pagerduty_takes_no_more_than_it_can() -> None:
    long = replace(INCIDENT, summary="x" * 5000, evidence={"t": ["y" * 900] * 900})
    event = event_of(message(incident=long), "KEY")
    assert len(event["payload"]["summary"]) == 1024
    assert len(json.dumps(event).encode()) < 64 * 1024


def test_a_change_pages_nobody() -> None:
    change = change_of({"summary": "migrated shop", "database": "shop"}, "KEY", NOW)
    assert "event_action" not in change
    assert change["payload"]["summary"] == "migrated shop"


def test_an_alert_is_known_by_what_does_not_change() -> None:
    other = replace(INCIDENT, summary="other", evidence={"roots": [{"pid": 77}]})
    assert labels_of(message()) == labels_of(message("repeat", other))
    assert labels_of(message()) == {
        "alertname": "ShippyardBlockedSessions",
        "source": "shippyard",
        "rule": "blocked",
        "cluster": "main",
        "database": "shop",
        "severity": "page",
        "environment": "production",
    }
    assert labels_of(message(incident=replace(INCIDENT, subject="slot")))["subject"] == "slot"


def test_an_alert_lasts_until_it_is_said_to_be_over() -> None:
    alert = alert_of(message(), NOW)
    assert alert["startsAt"] == "2026-03-04T05:06:07.000+00:00"
    assert alert["endsAt"] > "2026-03-04T06"
    assert alert["generatorURL"] == RUNBOOK
    assert alert_of(message("resolve", OVER), NOW)["endsAt"] == "2026-03-04T05:09:07.000+00:00"


def test_alerts_are_called_as_prometheus_calls_them() -> None:
    known = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    health = {"blocked", "long_running", "unreachable", "wraparound_near", "slot_retains_wal"}
    others = {"backup_late", "checksum_failure", "delivery_dead", "job_missed"}
    assert {name_of(rule) for rule in health | others} <= known


def test_slack_can_be_made_to_mention_nobody() -> None:
    document = document_of(message())
    said = json.dumps(document)
    assert "<@" not in said
    assert "&lt;@U1&gt;: SELECT 1 &amp; 2" in said
    assert "pg_cancel_backend(42)" in said
    ended = json.dumps(document_of(message("resolve", OVER)))
    assert "RESOLVED" in ended
    assert "pg_cancel_backend" not in ended


def test_slack_gets_no_more_than_a_section_holds() -> None:
    long = replace(INCIDENT, summary="<" * 2900, subject="s" * 500)
    for block in document_of(message(incident=long))["attachments"][0]["blocks"]:
        assert all(
            len(t["text"]) <= 3000 for t in (block.get("text"), *block.get("elements", ())) if t
        )


def test_mail_of_one_incident_is_one_thread() -> None:
    mail = Mail(host="localhost", sender="a@example.org", recipients=("b@example.org", "c@d.org"))
    first = composed(message(), mail, NOW)
    last = composed(message("resolve", OVER), mail, NOW)
    assert first["References"] == last["References"]
    assert first["Message-ID"] != last["Message-ID"]
    assert first["To"] == "b@example.org, c@d.org"
    assert "pg_cancel_backend(42)" in first.get_content()


def test_a_line_break_makes_no_header() -> None:
    mail = Mail(host="localhost", sender="a@example.org", recipients=("b@example.org",))
    nasty = replace(INCIDENT, subject="x\r\nBcc: everyone@example.org")
    made = composed(message(incident=nasty), mail, NOW)
    assert made["Bcc"] is None
    assert "\n" not in made["Subject"]


def test_plain_words_say_who_what_and_how() -> None:
    assert title(message()) == "[FIRING page] blocked on shop"
    taken = replace(INCIDENT, acked_by="olga", acked_at=NOW)
    assert "taken on by: olga" in body(message("acknowledge", taken))
    assert f"runbook: {RUNBOOK}" in body(message())


def test_a_signature_covers_the_time() -> None:
    headers = signature_of(b"key", b"body", NOW)
    at = str(int(NOW.timestamp()))
    wanted = hmac.new(b"key", f"{at}.body".encode(), hashlib.sha256).hexdigest()
    assert headers == {"Shippyard-Timestamp": at, "Shippyard-Signature": f"sha256={wanted}"}
    assert signature_of(b"key", b"body", NOW + timedelta(seconds=1)) != headers
    assert signature_of(b"key", b"bodY", NOW) != headers


@pytest.mark.parametrize("rule", ["replica_lagging", "my-own", "x"])
def test_every_rule_makes_a_name(rule: str) -> None:
    assert name_of(rule).startswith("Shippyard")
    assert name_of(rule).isalpha()
