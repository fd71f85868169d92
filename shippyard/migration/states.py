"""Owns the life of a run as a table. Pure: it says what follows what, and does nothing."""

from typing import Literal, get_args

RunState = Literal[
    "planned",
    "rehearsed",
    "approved",
    "gated",
    "running",
    "verifying",
    "done",
    "rolled_back",
    "failed",
    "interrupted",
]
RunEvent = Literal[
    "rehearsal_judged",
    "approval_judged",
    "gates_passed",
    "started",
    "applied",
    "verified",
    "taken_back",
    "failed",
    "interrupted",
]

STATES: tuple[RunState, ...] = get_args(RunState)
EVENTS: tuple[RunEvent, ...] = get_args(RunEvent)
ENDS: tuple[RunState, ...] = ("done", "rolled_back", "failed", "interrupted")
UNFINISHED: frozenset[RunState] = frozenset(STATES) - frozenset(ENDS)

# In these nothing was done to the database yet.
BEFORE_STARTED: frozenset[RunState] = frozenset({"planned", "rehearsed", "approved", "gated"})

_FORWARD: dict[tuple[RunState, RunEvent], RunState] = {
    ("planned", "rehearsal_judged"): "rehearsed",
    ("rehearsed", "approval_judged"): "approved",
    ("approved", "gates_passed"): "gated",
    ("gated", "gates_passed"): "gated",  # judged again once the backup is there
    ("gated", "started"): "running",
    ("running", "applied"): "verifying",
    ("verifying", "verified"): "done",
    # by another run, which goes down
    ("done", "taken_back"): "rolled_back",
    ("failed", "taken_back"): "rolled_back",
    ("interrupted", "taken_back"): "rolled_back",
}

TRANSITIONS: dict[tuple[RunState, RunEvent], RunState] = {
    **_FORWARD,
    **{(state, "failed"): "failed" for state in UNFINISHED},
    **{(state, "interrupted"): "interrupted" for state in UNFINISHED},
}


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
