"""Owns what is left of a run that did not get to its end. Asks; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.migration.journal import Journal, Run
from shippyard.migration.leftovers import Sweep, built_by, look_for, sweep_of
from shippyard.migration.plan import PlanRefused
from shippyard.migration.planner import PlanFailed, Prepared
from shippyard.migration.undo import Undo
from shippyard.postgres.session import QueryFailed, Unreachable

CAN_GO_ON = frozenset({"interrupted", "failed"})


@dataclass(frozen=True)
class Rest:
    """A run, its plan made again, and what of it is left to do."""

    run: Run
    prepared: Prepared
    undo: Undo | None = None

    @property
    def revisions(self) -> tuple[str, ...]:
        """Still to be applied, or taken back, in the order in which that is done."""
        steps = self.undo.steps if self.undo else self.prepared.rest
        return tuple(step.revision for step in steps)

    @property
    def left(self) -> tuple[str, ...]:
        """What the run left half done, one line each."""
        return () if self.undo else leftovers_of(self.prepared).said

    def document(self) -> dict[str, Any]:
        """For JSON."""
        at = self.prepared.seen.current or "no revision"
        return {
            "run": self.run.id,
            "database": self.run.database,
            "message": f"it was {self.run.state}; the database is at {at}",
            "left": list(self.left),
            "revisions": list(self.revisions),
        }


def leftovers_of(prepared: Prepared) -> Sweep:
    """What an interrupted build left, and what becomes of it.

    Raises:
        PlanFailed: the server did not say.
    """
    rest = [step.revision for step in prepared.rest]
    built = built_by(prepared.plan, rest, prepared.tree.files)
    try:
        return sweep_of(look_for(prepared.target, built), built)
    except (Unreachable, QueryFailed) as error:
        raise PlanFailed(str(error)) from None


def run_to_go_on_with(journal: Journal, run_id: str | None) -> Run:
    """The run that is meant: the named one, or the newest of all.

    Raises:
        PlanRefused: there is none, it needs no going on, or another came after it.
    """
    run = _named(journal, run_id)
    if run.state not in CAN_GO_ON:
        raise PlanRefused(f"run {run.id} is {run.state}: there is nothing to go on with")
    newest = journal.history(run.database)[0]
    if newest.id != run.id:
        raise PlanRefused(f"run {newest.id} came after {run.id}; go on with that one")
    return run


def _named(journal: Journal, run_id: str | None) -> Run:
    if run_id is None:
        return _newest(journal.history())
    run = journal.find(run_id)
    if run is None:
        raise PlanRefused(f"no run {run_id!r}; see `shippyard ctl migrate history`")
    return run


def _newest(runs: Sequence[Run]) -> Run:
    if not runs:
        raise PlanRefused("there was no run yet; see `shippyard ctl migrate plan`")
    return runs[0]
