"""Owns whether a run may be taken back by its own downgrades, and what is next best when not.

Downgrades are taken only when a rehearsal of that very content proved that schema and data come
back, and when nothing was written since that would go with them. Decides; `undo_guard` asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shippyard.migration.integrity.model import Integrity
from shippyard.migration.journal import Run
from shippyard.migration.plan import Plan
from shippyard.migration.recovery import begun_of, half_applied_of
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.said import said_by, unread
from shippyard.migration.spec import Guard, Step
from shippyard.migration.undo_guard import (
    AT_HOME,
    CannotTell,
    guards_of,
    lost,
    read_tables,
)
from shippyard.migration.version_table import read_current
from shippyard.migration.wrote import wrote_of
from shippyard.postgres.session import QueryFailed, Session, Unreachable, open_session
from shippyard.postgres.target import Target

CAN_BE_UNDONE = frozenset({"done", "failed", "interrupted"})


@dataclass(frozen=True)
class Option:
    """Another way out; `command` is what to type."""

    kind: Literal["fix_forward", "restore"]
    what: str
    command: str


@dataclass(frozen=True)
class NowFacts:
    """What the live database says. `lost` is what going back would lose, None when not known.

    `steps` is the way back from where it stands, `unknown` why something could not be found out.
    """

    at: str | None
    steps: tuple[Step, ...]
    lost: tuple[str, ...] | None
    unknown: str = ""
    half_applied: str | None = None


@dataclass(frozen=True)
class UndoVerdict:
    """Whether, why (not), and what else could be done."""

    allowed: bool
    why: str
    next_best: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Undo:
    """A way back. Its runner must ask `guards` again, in the transaction of each step."""

    run: Run
    verdict: UndoVerdict
    steps: tuple[Step, ...]
    guards: tuple[Guard, ...]
    at: str | None

    @property
    def to(self) -> str | None:
        """Where the database is afterwards."""
        return self.steps[-1].down if self.steps else self.at

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.run.id,
            "database": self.run.database,
            "from": self.at,
            "to": self.to,
            "revisions": [step.revision for step in self.steps],
            "allowed": self.verdict.allowed,
            "why": self.verdict.why,
            "next_best": [
                {"kind": each.kind, "what": each.what, "command": each.command}
                for each in self.verdict.next_best
            ],
        }


def plan_undo(run: Run, report: Report | None, target: Target, *, plan: Plan) -> Undo:
    """The way back of a run, and whether it may be taken. Reads the live database, no more.

    `plan` is the run's own, made again from the very same files.

    Raises:
        Unreachable, QueryFailed: the server did not say where it stands.
    """
    session = open_session(target, "migrate-undo", settings=AT_HOME)
    try:
        at = read_current(session.query)
        steps = steps_back(plan, at)
        guards, facts = _ask(session, run, plan, at, steps)
    finally:
        session.close()
    return Undo(run, may_roll_back(run, report, facts), steps, guards, at)


def may_roll_back(run: Run, report: Report | None, now: NowFacts) -> UndoVerdict:
    """The decision. What is not known forbids."""
    why = _why_not(run, report, now)
    if why is None:
        names = ", ".join(step.revision for step in now.steps)
        return UndoVerdict(True, f"{names}: rehearsed to come back, and nothing new would be lost")
    return UndoVerdict(False, why, next_best(run))


def should_roll_back(integrity: Integrity, verdict: UndoVerdict, *, when_damaged: bool) -> bool:
    """Whether to take a run back by itself: only one that did damage, where the policy says so."""
    return when_damaged and integrity.verdict == "damaged" and verdict.allowed


def next_best(run: Run) -> tuple[Option, ...]:
    """What else there is, the gentlest first."""
    forward = Option(
        "fix_forward",
        "write a revision that mends it, and go on",
        "shippyard migration new DESCRIPTION",
    )
    if run.backup_id is None:
        return (forward,)
    restore = Option(
        "restore",
        f"restore backup {run.backup_id} of before the run beside it, with an approval: "
        "what was written since is not in it",
        f"shippyard ctl restore run {run.database} --backup {run.backup_id} "
        f"--dbname {run.database}_before",
    )
    return forward, restore


def steps_back(plan: Plan, at: str | None) -> tuple[Step, ...]:
    """From where the database stands to where the plan began; none when it is not on the way."""
    names = [each.revision for each in plan.revisions]
    if at not in names:
        return ()
    taken = plan.revisions[: names.index(at) + 1]
    return tuple(Step(e.revision, e.down[0] if e.down else None) for e in reversed(taken))


def _why_not(run: Run, report: Report | None, now: NowFacts) -> str | None:
    if run.way == "down":
        return "it was a way back itself"
    if run.state not in CAN_BE_UNDONE:
        return f"it is {run.state}"
    if not now.steps:
        return f"the database is at {now.at or 'no revision'}, which this run did not bring it to"
    if now.half_applied:
        return (
            f"{now.half_applied} is half applied; "
            f"finish it first: shippyard ctl migrate resume {run.id}"
        )
    return _not_proven(run, report) or _not_free(now)


def _not_proven(run: Run, report: Report | None) -> str | None:
    if report is None or report.content_hash != run.content_hash:
        return "no rehearsal of this very content proved that it comes back"
    if report.comes_back:
        return None
    said = [*report.schema_differences, *report.losses, report.error or "it did not pass"]
    return f"in rehearsal it did not come back: {said[0]}"


def _not_free(now: NowFacts) -> str | None:
    if now.lost is None:
        return now.unknown or "whether something was written since is not known"
    return f"going back would lose what is new: {'; '.join(now.lost)}" if now.lost else None


def _ask(
    session: Session, run: Run, plan: Plan, at: str | None, steps: Sequence[Step]
) -> tuple[tuple[Guard, ...], NowFacts]:
    events: Sequence[Mapping[str, Any]] = run.detail.get("steps", ())
    begun = begun_of(events, at, run.way)
    half = begun if begun and half_applied_of(events, begun, plan) is not False else None
    names = [step.revision for step in steps]
    try:
        guards = _guards(session, run, plan, names)
        return guards, NowFacts(at, tuple(steps), lost(session, guards), "", half)
    except (CannotTell, QueryFailed, Unreachable) as error:
        return (), NowFacts(at, tuple(steps), None, str(error), half)


def _guards(session: Session, run: Run, plan: Plan, names: Sequence[str]) -> tuple[Guard, ...]:
    hidden = unread(plan, names, "down")
    if hidden:
        raise CannotTell(f"the way back of {hidden[0]} can't be read before it runs")
    forth, tables = said_by(plan, names, "up"), read_tables(session)
    wrote = wrote_of(run.detail.get("steps", ()))
    # each is asked again where its revision is taken back: what it names is gone afterwards
    return tuple(
        replace(guard, revision=name)
        for name in names
        for guard in guards_of(said_by(plan, [name], "down"), forth, tables, wrote)
    )
