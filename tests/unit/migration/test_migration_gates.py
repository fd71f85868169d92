"""Each gate's answers, and what a policy makes of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shippyard.migration.approvals.model import Standing
from shippyard.migration.facts import ServerFacts
from shippyard.migration.gates import GATES, ask_all, first_blocking
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.hazards.model import Hazard
from shippyard.migration.naming import right_name
from shippyard.migration.plan import Plan
from shippyard.migration.rehearsal.report import Blocked, Passage, Recorded
from tests.unit.migration.gate_facts import (
    FACTS,
    NOW,
    PARCELS,
    PLAN,
    POLICY,
    REHEARSED,
    UP,
    Backup,
    Live,
    verdict_of,
)

RISKY = Hazard("H32", "warn", "002", "versions/002_a.py", 7, "up", "ALTER …", "why", "instead")
HARMFUL = replace(RISKY, id="H30", level="block")
ASKS_FOR_ALL = POLICY.model_copy(update={"rehearsal": True, "approvals": 1})
NOBODY_YET = Standing(False, 1, (), frozenset(), emergency=False, rejected_by=None)
AGREED = replace(NOBODY_YET, granted=True, missing=0, by=("ben",))


def plan_with(**changes: Any) -> Plan:
    return replace(PLAN, revisions=(replace(PARCELS, **changes),))


def test_when_all_is_well_every_gate_passes() -> None:
    verdicts = ask_all(FACTS)
    assert {v.verdict for v in verdicts} == {"pass"}
    assert len({v.gate for v in verdicts}) == len(GATES)
    assert first_blocking(verdicts, POLICY) is None


BROKEN = ServerFacts(in_recovery=False, invalid_indexes=("public.parcels_weight",))
UNRELATED = ServerFacts(in_recovery=False, invalid_indexes=('public."Other"',))
OLD = Backup(NOW - timedelta(hours=27))


def asked(**changes: Any) -> dict[str, Any]:
    """Facts where policy asks for a rehearsal and an approval."""
    return {"policy": ASKS_FOR_ALL, **changes}


def rehearsed(**changes: Any) -> dict[str, Any]:
    return asked(rehearsal=replace(REHEARSED, **changes))


def waited(writes_ms: float) -> tuple[Passage, ...]:
    """Passages of which the way up kept writers of parcels waiting."""
    blocked = Recorded(blocked=(Blocked("public.parcels", 0.0, writes_ms),))
    return (Passage("up", blocked), replace(UP, way="down"), replace(UP, way="again"))


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("another_run", {"active_run": "r1"}, "block", "run r1 is under way"),
    ("tree", {"exposed": "/t may be written by all: chmod o-w /t"}, "block", "chmod o-w /t"),
    ("tree", {"exposed": "/t: chmod o-w /t", "environment": "testing"}, "warn", "chmod o-w /t"),
    ("hazards", {"hazards": None}, "unknown", "not looked over"),
    ("hazards", {"hazards": (RISKY,)}, "warn", "H32 at versions/002_a.py:7"),
    ("hazards", {"hazards": (RISKY, HARMFUL)}, "block", "H30 at versions/002_a.py:7; write it"),
    (
        "hazards",
        {"hazards": (HARMFUL,), "environment": "development"},
        "warn",
        "H30 at versions/002_a.py:7",
    ),
    (
        "hazards",
        {"hazards": (replace(HARMFUL, suppressed="nobody reads it"),)},
        "pass",
        "1 allowed by their authors",
    ),
    ("rehearsal", asked(), "block", "shippyard ctl migrate rehearse 002"),
    ("rehearsal", {"rehearsal_known": False}, "unknown", "can't be read"),
    ("rehearsal", rehearsed(), "pass", "up, down and up again on backup b1"),
    (
        "rehearsal",
        rehearsed(outcome="failed", error="it broke"),
        "block",
        "r1 failed: it broke",
    ),
    ("rehearsal", rehearsed(fingerprint="f2"), "block", "another one than was rehearsed"),
    ("rehearsal", {**rehearsed(fingerprint="f2"), "goes_on": True}, "pass", "r1"),
    ("rehearsal", {**rehearsed(), "fingerprint": None}, "unknown", "can't be read now"),
    ("rehearsal", rehearsed(finished_at=NOW - timedelta(hours=49)), "block", "49 h old"),
    (
        "rehearsal",
        rehearsed(losses=("users.nick: 3 values",)),
        "block",
        "not proven: users",
    ),
    (
        "rehearsal",
        {**rehearsed(unproven=("users: too large",)), "environment": "staging"},
        "warn",
        "not proven: users: too large",
    ),
    ("rehearsal", rehearsed(passages=(UP,)), "block", "not proven: it was not gone"),
    ("rehearsal", rehearsed(content_hash="c"), "block", "r1 is of another plan"),
    ("rehearsal", rehearsed(system_identifier="2"), "block", "another server was rehearsed"),
    ("rehearsal", {**rehearsed(), "system_identifier": None}, "unknown", "can't be read now"),
    ("rehearsal", rehearsed(passages=waited(1000)), "pass", "r1"),
    (
        "rehearsal",
        rehearsed(passages=waited(1001)),
        "warn",
        "nobody could write public.parcels for 1001 ms (limit 1000 ms)",
    ),
    ("rehearsal", rehearsed(slower=("SELECT 1",)), "warn", "slower afterwards: SELECT 1"),
    ("rehearsal", {"rehearsal": replace(REHEARSED, outcome="blocked")}, "warn", "r1 blocked"),
    ("approvals", {}, "pass", "none is asked for"),
    ("approvals", asked(), "unknown", "can't be read"),
    ("approvals", asked(approvals=NOBODY_YET), "block", "ctl migrate request 002"),
    (
        "approvals",
        asked(approvals=replace(NOBODY_YET, requested_by="ana")),
        "block",
        "1 of 1 missing; asked for by ana",
    ),
    (
        "approvals",
        asked(approvals=replace(AGREED, rejected_by="cleo")),
        "block",
        "cleo said no",
    ),
    ("approvals", asked(approvals=AGREED), "pass", "by ben"),
    ("heads", {"plan": replace(PLAN, heads=("002", "x"))}, "block", "several heads (002, x)"),
    ("naming", {"plan": plan_with(file="versions/2.py")}, "block", "002_add_parcels.py"),
    ("naming", {"plan": plan_with(file="versions/002_Add.py")}, "block", "002_add_parcels.py"),
    ("reversible", {"plan": plan_with(reversible=False)}, "block", "no downgrade"),
    (
        "reversible",
        {"plan": plan_with(reversible=False), "environment": "staging"},
        "warn",
        "002_add_parcels.py",
    ),
    ("server", {"server": None}, "unknown", "does not answer"),
    ("drift", {}, "pass", "nothing is expected yet"),
    ("drift", {"expected_fingerprint": "f1"}, "pass", "as the last run left it"),
    ("drift", {"expected_fingerprint": "f0"}, "block", "shippyard ctl migrate drift shippyar"),
    ("drift", {"expected_fingerprint": "f0", "environment": "testing"}, "warn", "was changed"),
    ("drift", {"expected_fingerprint": "f0", "goes_on": True}, "pass", "goes on half way"),
    ("drift", {"expected_fingerprint": "f0", "fingerprint": None}, "unknown", "can't be read"),
    ("server", {"server": ServerFacts(True, ())}, "block", "in recovery"),
    ("invalid_indexes", {"server": None}, "unknown", "does not answer"),
    ("invalid_indexes", {"server": BROKEN}, "block", "DROP INDEX CONCURRENTLY public.parcels"),
    ("invalid_indexes", {"server": UNRELATED}, "warn", "Other"),
    ("blockers", {"live": None}, "unknown", "not polled lately"),
    ("blockers", {"live": Live(blocked_sessions=2)}, "block", "2 blocked sessions"),
    ("blockers", {"live": Live(longest_transaction_s=61)}, "block", "open for 61 s"),
    ("blockers", {"live": Live(longest_transaction_s=60)}, "pass", "no transaction is long"),
    ("connections", {"live": None}, "unknown", "not polled lately"),
    ("connections", {"live": Live(connections_used_ratio=0.9)}, "warn", "90%"),
    ("connections", {"live": Live(connections_used_ratio=0.89)}, "pass", "89%"),
    ("replication_lag", {"live": None}, "unknown", "not polled lately"),
    ("replication_lag", {"live": Live(replication_lag_s=None)}, "pass", "no replica"),
    ("replication_lag", {"live": Live(replication_lag_s=6)}, "warn", "6.0 s behind"),
    ("replication_lag", {"live": Live(replication_lag_s=61)}, "block", "61 s behind"),
    ("backup", {"backup": None}, "block", "run `shippyard ctl backup run shippyar`"),
    ("backup", {"backup": OLD}, "block", "27.0 h old (limit 26 h)"),
    ("backup", {"backup": None, "backup_known": False}, "unknown", "can't be read"),
    ("backup", {"backup": None, "backup_promised": True}, "pass", "taken and verified first"),
]


@pytest.mark.parametrize(("gate", "changes", "answer", "said"), CASES)
def test_a_gate_answers(gate: str, changes: dict[str, Any], answer: str, said: str) -> None:
    verdict = verdict_of(gate, **changes)
    assert verdict.verdict == answer
    assert said in verdict.summary
    assert "\n" not in verdict.summary
    assert verdict.document()["gate"] == gate


def test_unknown_blocks_when_policy_says_so() -> None:
    verdicts = [Verdict("a", "warn", ""), Verdict("b", "unknown", ""), Verdict("c", "block", "")]
    lenient = POLICY.model_copy(update={"unknown_blocks": False})
    strict, loose = first_blocking(verdicts, POLICY), first_blocking(verdicts, lenient)
    assert strict is not None
    assert loose is not None
    assert (strict.gate, loose.gate) == ("b", "c")
    assert first_blocking(verdicts[:1], POLICY) is None
    assert first_blocking(verdicts[:2], lenient) is None


@pytest.mark.parametrize(
    ("doc", "name"),
    [
        ("Add user's e-mail, v2.", "002_add_user_s_e_mail_v2.py"),
        ("", "002_what_it_does.py"),
        ("word " * 30, "002_" + "word_" * 11 + "word.py"),
    ],
)
def test_the_right_name_is_said(doc: str, name: str) -> None:
    assert right_name("002", doc) == name


def blocking(over: frozenset[str] = frozenset(), *, emergency: bool = False, **changes: Any) -> Any:
    facts = replace(FACTS, **changes)
    return first_blocking(ask_all(facts), facts.policy, over, emergency=emergency)


def test_an_approver_may_override_some_gates_and_an_emergency_more_of_them() -> None:
    harmful: dict[str, Any] = {"hazards": (HARMFUL,)}
    assert blocking(**harmful).gate == "hazards"
    assert blocking(frozenset({"hazards"}), **harmful) is None
    assert blocking(frozenset({"rehearsal"}), **asked(approvals=AGREED)).gate == "rehearsal"
    assert blocking(emergency=True, **asked(approvals=NOBODY_YET)) is None
    busy = replace(Live(), blocked_sessions=1)
    assert blocking(frozenset({"blockers"}), emergency=True, live=busy).gate == "blockers"
