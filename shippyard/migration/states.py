"""Owns the life of a run as a table. Pure: it says what follows what, and does nothing."""

from typing import Literal

RunState = Literal["planned", "gated", "running", "verifying", "done", "failed", "interrupted"]
RunEvent = Literal["gates_passed", "started", "applied", "verified", "failed", "interrupted"]

STATES: tuple[RunState, ...] = (
    "planned",
    "gated",
    "running",
    "verifying",
    "done",
    "failed",
    "interrupted",
)
ENDS: tuple[RunState, ...] = ("done", "failed", "interrupted")
EVENTS: tuple[RunEvent, ...] = (
    "gates_passed",
    "started",
    "applied",
    "verified",
    "failed",
    "interrupted",
)

TRANSITIONS: dict[tuple[RunState, RunEvent], RunState] = {
    ("planned", "gates_passed"): "gated",
    ("planned", "failed"): "failed",
    ("planned", "interrupted"): "interrupted",
    ("gated", "gates_passed"): "gated",  # judged again once the backup is there
    ("gated", "started"): "running",
    ("gated", "failed"): "failed",
    ("gated", "interrupted"): "interrupted",
    ("running", "applied"): "verifying",
    ("running", "failed"): "failed",
    ("running", "interrupted"): "interrupted",
    ("verifying", "verified"): "done",
    ("verifying", "failed"): "failed",
    ("verifying", "interrupted"): "interrupted",
}

# In these nothing was done to the database yet.
BEFORE_STARTED: frozenset[RunState] = frozenset({"planned", "gated"})
UNFINISHED: frozenset[RunState] = frozenset({"planned", "gated", "running", "verifying"})


class IllegalTransition(Exception):
    """A promise of this program is broken: this event can't come in this state."""


def after(state: RunState, event: RunEvent) -> RunState:
    """The state that follows.

    Raises:
        IllegalTransition: the table has no such cell.
    """
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise IllegalTransition(f"a run that is {state} can't take {event}")
    return following
