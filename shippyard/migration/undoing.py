"""Owns which run is taken back when somebody asks, and making its way back from what is known."""

from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.journal import Journal, Run
from shippyard.migration.known import Known
from shippyard.migration.plan import PlanRefused
from shippyard.migration.planner import PlanFailed
from shippyard.migration.undo import Undo, plan_undo
from shippyard.postgres.session import QueryFailed, Unreachable


def run_to_take_back(journal: Journal, run_id: str | None) -> Run:
    """The run that is meant: the named one, or the newest of all.

    Raises:
        PlanRefused: there is none, or it was a way back itself.
    """
    if run_id is None:
        return _going_up(next(iter(journal.history()), None))
    found = journal.find(run_id)
    if found is None:
        raise PlanRefused(f"no run {run_id!r}; see `shippyard ctl migrate history`")
    return _going_up(found)


def _going_up(run: Run | None) -> Run:
    if run is None:
        raise PlanRefused("nothing has run yet: there is nothing to take back")
    if run.way == "down":
        raise PlanRefused(f"run {run.id} was a way back itself; `shippyard ctl migrate` goes up")
    return run


def taken_back_by(journal: Journal, run: Run) -> Run:
    """The run that `run`, which goes down, takes back.

    Raises:
        PlanRefused: it is not remembered any more.
    """
    origin = journal.find(run.of_run or "")
    if origin is None:
        raise PlanRefused(f"the run that {run.id} takes back is not remembered any more")
    return origin


def undo_of(run: Run, known: Known) -> Undo:
    """The way back of a run, from where the database stands.

    Raises:
        PlanFailed: the server did not say.
    """
    prepared = known.prepared
    try:
        return plan_undo(run, known.rehearsal, prepared.target, plan=prepared.plan)
    except (Unreachable, QueryFailed) as error:
        raise PlanFailed(str(error)) from None


def forbidding(undo: Undo) -> Verdict:
    """What is said when a way back may not be taken."""
    return Verdict("way_back", "block", undo.verdict.why, undo.document())
