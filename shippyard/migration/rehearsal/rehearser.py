"""Owns a rehearsal from its beginning to its report, whatever comes between.

However it ends there is a report; the sandbox is whoever's who made it. Decides nothing about
whether a run may happen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shippyard.host.clock import Clock
from shippyard.host.process import ProcessesStopped
from shippyard.migration.known import Known
from shippyard.migration.plan import PlanRefused
from shippyard.migration.planner import PlanFailed
from shippyard.migration.recording import RecordingFailed
from shippyard.migration.rehearsal.copies import Copies, Progress, Restoration, Restored
from shippyard.migration.rehearsal.course import Course, Stopped
from shippyard.migration.rehearsal.findings import Findings
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.rehearsal.statements import Asked
from shippyard.migration.rehearsal.trial import Trial, Unlike
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.session import QueryFailed, Unreachable, one_line

Top = Callable[[str], Sequence[Asked]]
"""The statements of a database that take the most time in production."""
Prepare = Callable[[Restored], Known]
"""Makes the plan for a database that was restored, where production can't be asked."""


class Past(Protocol):
    """Who remembers rehearsals."""

    def all(self, database: str | None = None) -> list[Report]:
        """Newest first."""
        ...


class NotRehearsed(Exception):
    """There was nothing to rehearse on, before there was even a plan; one line."""


class Rehearser:
    """Rehearses plans on restored backups."""

    def __init__(
        self, copies: Copies, supervisor: Supervisor, clock: Clock, past: Past, top: Top
    ) -> None:
        self._copies = copies
        self._supervisor = supervisor
        self._clock = clock
        self._past = past
        self._top = top

    def rehearse(self, known: Known, progress: Progress) -> Report:
        """Try a plan that was made for production, and say what came of it."""
        plan, policy = known.prepared.plan, known.prepared.policy
        findings = Findings(self._clock.now(), known)
        course = self._course(plan.database, policy.rehearsal_timeout_s, progress)
        self._restore(plan.database, course, findings, lambda _: known)
        return findings.report(known, self._clock.now(), course.phases)

    def rehearse_without_production(
        self, database: str, timeout_s: float, prepare: Prepare, progress: Progress
    ) -> Report:
        """Try a plan that `prepare` makes from where the backup stands.

        Raises:
            NotRehearsed: it did not come as far as a plan.
        """
        findings = Findings(self._clock.now(), None)
        course = self._course(database, timeout_s, progress)
        self._restore(database, course, findings, prepare)
        if findings.known is None:
            raise NotRehearsed(findings.error or "there is no plan")
        return findings.report(findings.known, self._clock.now(), course.phases)

    def _course(self, database: str, timeout_s: float, progress: Progress) -> Course:
        return Course(progress, self._clock, self._past_phases(database), timeout_s)

    def _past_phases(self, database: str) -> Mapping[str, float]:
        passed = (each for each in self._past.all(database) if each.outcome == "passed")
        newest = next(passed, None)
        return newest.phases if newest else {}

    def _restore(self, database: str, course: Course, findings: Findings, prepare: Prepare) -> None:
        def on_restored(restored: Restored) -> None:
            course.begin(restored.phases, restored.must_stop)
            findings.backup_id = restored.backup_id
            findings.differs.extend(restored.differs)
            self._try(database, restored, course, findings, prepare)

        restoration = self._copies.on_newest(database, on_restored, progress=course.restoring)
        if not findings.backup_id:
            _end_unrestored(findings, restoration)

    def _try(
        self,
        database: str,
        restored: Restored,
        course: Course,
        findings: Findings,
        prepare: Prepare,
    ) -> None:
        try:
            known = findings.known = prepare(restored)
            top = tuple(self._top(database))
            Trial(self._supervisor, known, restored, findings=findings, course=course, top=top).go()
        except (Unlike, PlanRefused, PlanFailed) as error:
            findings.end("blocked", str(error))
        except Stopped as error:
            findings.end("interrupted", str(error))
        except (ProcessesStopped, RecordingFailed) as error:
            findings.end("interrupted", restored.must_stop() or str(error))
        except (QueryFailed, Unreachable) as error:
            gone = f"the sandbox gave no answer: {one_line(error)}"
            findings.end("interrupted", restored.must_stop() or gone)


def _end_unrestored(findings: Findings, restoration: Restoration) -> None:
    findings.backup_id = restoration.backup_id
    said = restoration.error or restoration.outcome
    if restoration.outcome == "interrupted":
        findings.end("interrupted", said)
    else:
        named = f"backup {restoration.backup_id}: " if restoration.backup_id else ""
        findings.end("blocked", f"{named}{said}")
