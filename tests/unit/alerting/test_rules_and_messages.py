"""Overrides, addressees, evidence bounds and the message's documented shape."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shippyard.alerting.audience import choose_addressees
from shippyard.alerting.evidence import EVIDENCE_MAX_BYTES, bounded_evidence, bounded_summary
from shippyard.alerting.incidents import Event, Incident
from shippyard.alerting.message import compose, stamped
from shippyard.alerting.rules import SUBJECTS_MAX, apply_rules
from shippyard.config.alerting import Hours, Route, RuleOverride
from shippyard.host.secrets import MASK, remember

NOW = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    summary: str = "bad"
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    rule: str = "blocked"
    cluster: str = "main"
    database: str = "shippyar"
    severity: str = "page"
    for_s: float = 10.0
    finding: Finding | None = Finding()
    parts: Mapping[str, Finding] = field(default_factory=dict)


INCIDENT = Incident(
    fingerprint="0123456789abcdef",
    rule="blocked",
    cluster="main",
    database="shippyar",
    severity="page",
    state="firing",
    summary="pid 42 blocks 3 sessions",
    evidence={"roots": [{"pid": 42}]},
    pending_at=NOW,
    since_s=0.0,
    seen_at=NOW,
    firing_at=NOW,
)


def test_without_an_override_the_observation_stands() -> None:
    seen = Observation()
    (ruled,) = apply_rules(seen, {"other": RuleOverride(enabled=False)})
    assert (ruled.severity, ruled.for_s, ruled.finding) == ("page", 10.0, seen.finding)


def test_an_override_changes_what_it_names() -> None:
    (ruled,) = apply_rules(Observation(), {"blocked": RuleOverride(for_s=0.0, severity="ticket")})
    assert (ruled.severity, ruled.for_s, ruled.finding) == ("ticket", 0.0, Finding())


def test_a_rule_that_is_off_sees_all_clear() -> None:
    off = {"blocked": RuleOverride(enabled=False)}
    looks = apply_rules(Observation(parts={"a": Finding()}), off, ["", "a"])
    assert [(look.subject, look.finding) for look in looks] == [("", None), ("a", None)]


def subjects(parts: int, open_subjects: tuple[str, ...] = ()) -> dict[str, Any]:
    """What is said of each thing, when so many are wrong at once."""
    wrong = {f"s{n}": Finding(f"s{n} is bad") for n in range(parts)}
    seen = Observation(finding=Finding("all are bad"), parts=wrong)
    return {look.subject: look.finding for look in apply_rules(seen, {}, open_subjects)}


def test_a_few_things_are_a_look_each() -> None:
    assert subjects(2) == {"s0": Finding("s0 is bad"), "s1": Finding("s1 is bad")}
    assert set(subjects(SUBJECTS_MAX)) == {f"s{n}" for n in range(SUBJECTS_MAX)}


def test_a_thousand_things_at_once_are_one() -> None:
    assert subjects(1000) == {"": Finding("all are bad")}


def test_what_was_open_by_itself_stays_so_in_a_pile() -> None:
    assert subjects(1000, ("s7",)) == {"s7": Finding("s7 is bad"), "": Finding("all are bad")}


def test_of_what_is_not_wrong_any_more_all_clear_is_said() -> None:
    assert subjects(1, ("s0", "gone", "")) == {"s0": Finding("s0 is bad"), "gone": None, "": None}
    looks = apply_rules(Observation(finding=None), {}, ["slot"])
    assert [(look.subject, look.finding) for look in looks] == [("", None), ("slot", None)]


def route(name: str, **more: Any) -> Route:
    return Route(name=name, url="http://127.0.0.1/", **more)


def chosen(
    notice: Event | None, *routes: Route, at: datetime = NOW, **changes: Any
) -> list[tuple[str, str]]:
    incident = replace(INCIDENT, **changes)
    return list(
        choose_addressees(incident, notice, routes, environment="production", zone="UTC", at=at)
    )


ROUTES = (route("oncall", severities=("page",)), route("team", severities=("page", "ticket")))


@pytest.mark.parametrize(
    ("severity", "told", "notice", "expected"),
    [
        ("page", (), "trigger", [("oncall", "trigger"), ("team", "trigger")]),
        ("ticket", (), "trigger", [("team", "trigger")]),
        ("info", (), "trigger", []),
        ("page", ("team",), "repeat", [("oncall", "trigger"), ("team", "repeat")]),
        ("ticket", ("oncall", "team"), "resolve", [("oncall", "resolve"), ("team", "resolve")]),
        ("page", ("team",), "resolve", [("team", "resolve")]),
        ("page", ("gone",), "resolve", []),
        ("page", ("team",), "acknowledge", [("team", "acknowledge")]),
        ("page", ("team",), None, [("oncall", "trigger")]),
    ],
)
def test_who_is_told(
    severity: str, told: tuple[str, ...], notice: Event | None, expected: list[tuple[str, str]]
) -> None:
    assert chosen(notice, *ROUTES, severity=severity, told=told) == expected


@pytest.mark.parametrize(
    ("more", "hears"),
    [
        ({"rules": ("blocked",)}, True),
        ({"rules": ("*", "!block*")}, False),
        ({"rules": ("!*", "blocked")}, True),
        ({"databases": ("shop*",)}, False),
        ({"databases": ("ship*",)}, True),
        ({"environments": ("production",)}, True),
        ({"environments": ("staging", "testing")}, False),
        ({"hours": (Hours(**{"from": "05:00", "to": "06:00"}),)}, True),
        ({"hours": (Hours(**{"from": "06:00", "to": "05:00"}),)}, False),
    ],
)
def test_a_route_hears_of_what_it_names(more: dict[str, Any], *, hears: bool) -> None:
    assert bool(chosen("trigger", route("r", **more))) is hears


def test_a_route_whose_hours_begin_is_told_of_what_fires_still() -> None:
    day = route("day", hours=(Hours(**{"from": "08:00", "to": "18:00"}),))
    assert chosen(None, day, at=NOW) == []
    assert chosen(None, day, at=NOW.replace(hour=9)) == [("day", "trigger")]
    assert chosen(None, day, at=NOW.replace(hour=9), told=("day",)) == []


def test_the_message_is_as_documented() -> None:
    message = stamped(
        compose(INCIDENT, "trigger", "production", NOW, runbook="r#blocked", audit_head="1:ab"), NOW
    )
    assert json.loads(json.dumps(message)) == {
        "version": 1,
        "event": "trigger",
        "idempotency_key": "0123456789abcdef-19cb73d3592.trigger.19cb73d3592",
        "environment": "production",
        "audit_head": "1:ab",
        "sent_at": "2026-03-04T05:06:07.890+00:00",
        "incident": {
            "key": "0123456789abcdef",
            "id": "0123456789abcdef-19cb73d3592",
            "rule": "blocked",
            "cluster": "main",
            "database": "shippyar",
            "subject": "",
            "severity": "page",
            "state": "firing",
            "summary": "pid 42 blocks 3 sessions",
            "since": "2026-03-04T05:06:07.890+00:00",
            "firing_at": "2026-03-04T05:06:07.890+00:00",
            "resolved_at": None,
            "acked_at": None,
            "acked_by": None,
            "ack_note": None,
            "action": None,
            "evidence": {"roots": [{"pid": 42}]},
            "runbook": "r#blocked",
        },
    }


def test_small_evidence_is_whole_and_a_copy() -> None:
    given = {"roots": [{"pid": 42, "wait_s": 1.5, "ok": True, "user": None}]}
    kept = bounded_evidence(given)
    assert kept == given
    given["roots"].clear()
    assert kept["roots"]


def test_a_pile_of_victims_is_cut_and_counted() -> None:
    victims = [{"pid": pid, "query": "SELECT " + "x" * 200} for pid in range(1000)]
    roots = [{"pid": 1, "action": "SELECT pg_terminate_backend(1)"}]
    kept = bounded_evidence({"roots": roots, "victims": victims, "tree": "t" * 100_000})
    assert len(json.dumps(kept).encode()) <= EVIDENCE_MAX_BYTES
    assert kept["roots"] == roots
    assert 20 <= len(kept["victims"]) == 1000 - kept["victims_omitted"]


@pytest.mark.parametrize(
    "monster",
    [
        {f"key{n}": "x" for n in range(100_000)},
        {"a": [["x" * 900] * 1_000] * 9},
        {"text": "é" * 1_000_000},
        {"text": '"' * 1_000_000},
    ],
)
def test_nothing_is_beyond_the_bound(monster: dict[str, Any]) -> None:
    assert len(json.dumps(bounded_evidence(monster)).encode()) <= EVIDENCE_MAX_BYTES


def test_what_json_does_not_know_becomes_text() -> None:
    given: dict[Any, Any] = {"at": NOW, "nan": float("nan"), 5: (1, 2)}
    kept = bounded_evidence(given)
    assert json.loads(json.dumps(kept, allow_nan=False)) == {
        "at": str(NOW),
        "nan": "nan",
        "5": [1, 2],
    }


def test_known_secrets_are_masked_before_anything_is_cut() -> None:
    remember("hunter2-hunter2")
    kept = bounded_evidence({"query": "ALTER ROLE x PASSWORD 'hunter2-hunter2'"})
    assert kept["query"] == f"ALTER ROLE x PASSWORD '{MASK}'"
    assert bounded_summary("pid 1\nruns  hunter2-hunter2") == f"pid 1 runs {MASK}"
    assert "hunter2" not in bounded_summary("x" * 990 + " hunter2-hunter2")
