"""One test per cell of the incident table, the impossible ones too, and the rules around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from shippyard.alerting.incidents import (
    TRANSITIONS,
    Event,
    IllegalStep,
    Incident,
    Moment,
    Sign,
    State,
    Step,
    acknowledged,
    decide,
    fingerprint,
)

BEGIN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FOR_S = 10.0
REPEAT_S = 3600.0


@dataclass(frozen=True)
class Finding:
    summary: str = "pid 42 blocks 3 sessions"
    evidence: Mapping[str, Any] = field(default_factory=lambda: {"roots": [{"pid": 42}]})


@dataclass(frozen=True)
class Observation:
    finding: Finding | None
    rule: str = "blocked"
    cluster: str = "main"
    database: str = "shippyar"
    severity: str = "page"
    for_s: float = FOR_S
    subject: str = ""


PRESENT = Observation(Finding())
CLEAR = Observation(None)


def at(seconds: float) -> Moment:
    return Moment(BEGIN + timedelta(seconds=seconds), 500.0 + seconds)


def incident(state: State, clears: int = 0) -> Incident:
    """One that began at 0 and, when it fires, was told of at 10."""
    fired = state != "pending"
    return Incident(
        fingerprint=fingerprint("blocked", "main", "shippyar"),
        rule="blocked",
        cluster="main",
        database="shippyar",
        severity="page",
        state=state,
        summary="old",
        evidence={},
        pending_at=at(0).at,
        since_s=at(0).monotonic_s,
        seen_at=at(0).at,
        firing_at=at(10).at if fired else None,
        notified_at=at(10).at if fired else None,
        notified_s=at(10).monotonic_s if fired else None,
        clears=clears,
    )


def step(state: State | None, sign: Sign) -> Step:
    """What `sign` does to a state, the sign made by an observation that means it."""
    clears = 1 if sign == "over" else 0
    current = incident(state, clears) if state else None
    observation = {
        "present": replace(PRESENT, for_s=30.0),
        "due": replace(PRESENT, for_s=10.0 if state else 0.0),
        "clear": CLEAR,
        "over": CLEAR,
    }[sign]
    return decide(current, observation, at(12), repeat_s=REPEAT_S)


CELLS: dict[tuple[State | None, Sign], tuple[State | None, Event | None, bool]] = {
    (None, "present"): ("pending", None, True),
    (None, "due"): ("firing", "trigger", True),
    (None, "clear"): (None, None, False),
    ("pending", "present"): ("pending", None, False),
    ("pending", "due"): ("firing", "trigger", True),
    ("pending", "clear"): ("pending", None, False),
    ("pending", "over"): ("dropped", None, True),
    ("firing", "present"): ("firing", None, False),
    ("firing", "due"): ("firing", None, False),
    ("firing", "clear"): ("firing", None, False),
    ("firing", "over"): ("resolved", "resolve", True),
}
STATES: tuple[State, ...] = get_args(State)
SIGNS: tuple[Sign, ...] = get_args(Sign)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_each_legal_cell(cell: tuple[State | None, Sign]) -> None:
    state, notice, moved = CELLS[cell]
    done = step(*cell)
    assert (done.incident.state if done.incident else None) == state
    assert (done.notice, done.moved) == (notice, moved)


@pytest.mark.parametrize("state", ["resolved", "dropped"])
@pytest.mark.parametrize("sign", SIGNS)
def test_what_has_ended_takes_no_sign(state: State, sign: Sign) -> None:
    with pytest.raises(IllegalStep, match=state):
        step(state, sign)


def test_the_table_has_these_cells_and_no_others() -> None:
    assert set(TRANSITIONS) == set(CELLS)
    assert (None, "over") not in TRANSITIONS  # nothing can't end
    assert {state for state, _ in TRANSITIONS} == {None, "pending", "firing"}
    assert set(TRANSITIONS.values()) == {None, *STATES}


def watch(looks: list[Observation], every_s: float = 1.0) -> list[tuple[float, Event]]:
    """What is told, and when, while these looks follow one another."""
    current: Incident | None = None
    told: list[tuple[float, Event]] = []
    for turn, look in enumerate(looks):
        done = decide(current, look, at(turn * every_s), repeat_s=REPEAT_S)
        if done.notice:
            told.append((turn * every_s, done.notice))
        current = done.incident
        if current and current.state in ("resolved", "dropped"):
            current = None
    return told


def test_fires_when_it_was_there_for_long_enough_and_ends_at_the_second_clear_look() -> None:
    assert watch([PRESENT] * 15 + [CLEAR] * 5) == [(10.0, "trigger"), (16.0, "resolve")]


def test_nobody_is_told_of_a_blink() -> None:
    assert watch(([PRESENT] * 5 + [CLEAR] * 2) * 20) == []


def test_flapping_stays_one_incident() -> None:
    assert watch([PRESENT, PRESENT, CLEAR] * 30) == [(10.0, "trigger")]


def test_a_cadence_slower_than_for_still_fires() -> None:
    assert watch([PRESENT] * 3, every_s=60.0) == [(60.0, "trigger")]


def test_a_root_that_changes_every_look_is_one_incident() -> None:
    looks = [Observation(Finding(f"pid {n}", {"roots": [{"pid": n}]})) for n in range(600)]
    assert watch(looks) == [(10.0, "trigger")]


def test_it_is_told_again_when_it_lasts() -> None:
    looks = [PRESENT] * 130
    told = watch(looks, every_s=60.0)
    assert told == [(60.0, "trigger"), (3660.0, "repeat"), (7260.0, "repeat")]


def test_no_repeat_while_it_is_not_seen() -> None:
    done = decide(incident("firing"), CLEAR, at(REPEAT_S * 2), repeat_s=REPEAT_S)
    assert done.notice is None


def test_summary_and_evidence_are_the_newest_while_open() -> None:
    newer = Observation(Finding("pid 43", {"roots": [{"pid": 43}]}))
    done = decide(incident("firing"), newer, at(12), repeat_s=REPEAT_S)
    assert done.incident
    assert (done.incident.summary, done.incident.evidence) == ("pid 43", newer.finding.evidence)  # type: ignore[union-attr]  # it has one
    assert done.incident.seen_at == at(12).at


def test_a_clear_look_keeps_what_was_last_seen() -> None:
    done = decide(incident("firing"), CLEAR, at(12), repeat_s=REPEAT_S)
    assert done.incident
    assert (done.incident.summary, done.incident.seen_at) == ("old", at(0).at)


def test_a_clock_step_neither_fires_nor_delays() -> None:
    stepped = Moment(BEGIN + timedelta(days=30), at(5).monotonic_s)
    done = decide(incident("pending"), PRESENT, stepped, repeat_s=REPEAT_S)
    assert done.incident
    assert done.incident.state == "pending"
    back = Moment(BEGIN - timedelta(days=30), at(11).monotonic_s)
    assert decide(incident("pending"), PRESENT, back, repeat_s=REPEAT_S).notice == "trigger"


def test_the_fingerprint_is_of_rule_cluster_and_database() -> None:
    same = fingerprint("blocked", "main", "shippyar")
    assert same == "9087a344ef30a5c4"
    assert same not in {
        fingerprint("long_running", "main", "shippyar"),
        fingerprint("blocked", "other", "shippyar"),
        fingerprint("blocked", "main", "other"),
        fingerprint("blockedmain", "", "shippyar"),
    }


def test_two_incidents_of_one_fingerprint_have_their_own_id() -> None:
    first = incident("firing")
    assert first.id != replace(first, pending_at=at(60).at).id
    assert first.id.startswith(first.fingerprint)


def firing(**changes: Any) -> Incident:
    return replace(incident("firing"), **changes)


def after(current: Incident, look: Observation, seconds: float = 20, **more: Any) -> Step:
    return decide(current, look, at(seconds), repeat_s=REPEAT_S, **more)


def test_what_gets_worse_is_told_again_at_once_and_never_gets_better() -> None:
    mild = firing(severity="ticket", acked_at=at(15).at, acked_by="olga")
    worse = after(mild, PRESENT)
    assert worse.notice == "repeat"
    assert worse.incident
    assert (worse.incident.severity, worse.incident.acked_by) == ("page", None)
    same = after(worse.incident, replace(PRESENT, severity="ticket"), 21)
    assert same.notice is None
    assert same.incident
    assert same.incident.severity == "page"


def test_what_somebody_has_taken_on_is_not_repeated() -> None:
    mine = acknowledged(firing(), "olga", "looking", at(15))
    assert after(mine, PRESENT, REPEAT_S * 2).notice is None
    assert after(firing(), PRESENT, REPEAT_S * 2).notice == "repeat"


def test_nobody_is_told_of_what_is_silenced_until_the_silence_is_over() -> None:
    quiet = decide(incident("pending"), PRESENT, at(12), repeat_s=REPEAT_S, silenced_by="5f09a1c2")
    assert quiet.incident
    assert (quiet.incident.state, quiet.notice) == ("firing", None)
    assert (quiet.incident.silenced_by, quiet.incident.notified_at) == ("5f09a1c2", None)
    loud = after(quiet.incident, PRESENT)
    assert loud.notice == "trigger"
    over = after(replace(quiet.incident, clears=1), CLEAR, silenced_by="5f09a1c2")
    assert over.notice == "resolve"  # for those who were told before it was silenced


def test_a_thing_has_an_incident_of_its_own() -> None:
    whole = fingerprint("slot_retains_wal", "main", "shop")
    assert fingerprint("slot_retains_wal", "main", "shop", "") == whole
    assert fingerprint("slot_retains_wal", "main", "shop", "standby") != whole
