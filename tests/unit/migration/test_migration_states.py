"""Every cell of a run's life, the illegal ones too; and the journal that keeps to it."""

import itertools

import pytest

from shippyard.migration.journal import STEPS_MAX, Journal
from shippyard.migration.leavings import standing_of
from shippyard.migration.plan import Plan
from shippyard.migration.recovery import Found
from shippyard.migration.states import (
    EVENTS,
    STATES,
    TRANSITIONS,
    IllegalTransition,
    RunEvent,
    RunState,
    after,
)
from shippyard.state.database import State
from tests.conftest import FakeClock

LEGAL = {
    "planned": {"rehearsal_judged": "rehearsed"},
    "rehearsed": {"approval_judged": "approved"},
    "approved": {"gates_passed": "gated"},
    "gated": {"gates_passed": "gated", "started": "running"},
    "running": {"applied": "verifying"},
    "verifying": {"verified": "done"},
    "done": {"taken_back": "rolled_back"},
    "rolled_back": {},
    "failed": {"taken_back": "rolled_back"},
    "interrupted": {"taken_back": "rolled_back"},
}
FIRST: tuple[RunEvent, ...] = ("rehearsal_judged", "approval_judged", "gates_passed")
PLAN = Plan("shippyar", "001", "002", ("002",), (), {}, {})


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_every_cell(state: RunState, event: RunEvent) -> None:
    finished = state in ("done", "rolled_back", "failed", "interrupted")
    anytime = {} if finished else {"failed": "failed", "interrupted": "interrupted"}
    expected = {**LEGAL[state], **anytime}.get(event)
    if expected is None:
        with pytest.raises(IllegalTransition):
            after(state, event)
    else:
        assert after(state, event) == expected


def test_the_table_names_only_known_words() -> None:
    assert {state for state, _ in TRANSITIONS} == set(STATES) - {"rolled_back"}
    assert set(TRANSITIONS.values()) <= set(STATES)


def test_a_run_is_written_down_step_by_step(state: State, clock: FakeClock) -> None:
    journal = Journal(state, clock)
    run_id = journal.open(PLAN, "ana")
    for event in FIRST:
        journal.move(run_id, event)
    journal.backed_up(run_id, "b1")
    journal.step(run_id, {"event": "locked"})
    journal.note(run_id, verdicts=[])
    journal.move(run_id, "started")
    assert [run.id for run in journal.unfinished("shippyar")] == [run_id]
    assert journal.unfinished("other") == []
    clock.advance(5)
    journal.move(run_id, "applied")
    run = journal.move(run_id, "verified")
    assert (run.state, run.backup_id, run.error) == ("done", "b1", None)
    assert run.finished_at == clock.now()
    assert run.detail["steps"][0]["event"] == "locked"
    assert run.detail["verdicts"] == []
    assert journal.unfinished() == []
    assert journal.history() == [journal.get(run_id)]
    with pytest.raises(IllegalTransition):
        journal.move(run_id, "failed")


def test_history_is_newest_first_and_steps_are_bounded(state: State, clock: FakeClock) -> None:
    journal = Journal(state, clock)
    first = journal.open(PLAN, "ana")
    clock.advance(1)
    second = journal.open(PLAN, "bo")
    assert [run.id for run in journal.history("shippyar")] == [second, first]
    assert journal.history("other") == []
    journal.note(first, steps=[{}] * STEPS_MAX)
    journal.step(first, {"event": "one too many"})
    assert len(journal.get(first).detail["steps"]) == STEPS_MAX


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("002", "everything was applied; the database is at 002"),
        ("001", "nothing was applied; the database is at 001; run again"),
        ("001a", "the database is at 001a; go on: shippyard ctl migrate resume"),
        (None, "the database is at no revision; go on: shippyard ctl migrate resume"),
    ],
)
def test_what_a_run_left_behind(state: State, clock: FakeClock, at: str | None, said: str) -> None:
    journal = Journal(state, clock)
    run = journal.get(journal.open(PLAN, "ana"))
    found = Found(at, (), (), (), None, half_applied=False, leftovers=())
    assert said in standing_of(run, found)
    assert "could not be read" in standing_of(run, None)
