"""Owns what is tried on a restored database: stand where production is, up, down, up again.

Compares schema and data after each way. Knows neither where the backup came from nor the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shippyard.migration.known import Known
from shippyard.migration.plan import PlanRefused, read_revisions, select_revisions
from shippyard.migration.planner import look, steps_of
from shippyard.migration.rehearsal.classify import classify
from shippyard.migration.rehearsal.compare import columns_changed, gone, losses, unproven
from shippyard.migration.rehearsal.copies import Restored
from shippyard.migration.rehearsal.course import Course, Stopped
from shippyard.migration.rehearsal.data import DataTaken, take_data
from shippyard.migration.rehearsal.findings import Findings
from shippyard.migration.rehearsal.passing import Ground, Passing, Went
from shippyard.migration.rehearsal.report import Kind, Passage, Recorded, Way
from shippyard.migration.rehearsal.statements import Asked, broken, slower, time_statements
from shippyard.migration.spec import Step
from shippyard.migration.supervise import Event, Supervisor
from shippyard.postgres.schema_objects import differences, read_objects
from shippyard.postgres.session import session
from shippyard.postgres.target import Target

DATA_TIME_RATIO = 0.2
"""Looking at all data once may take this part of the time that is left."""
DATA_MAX_S = 600.0
STATEMENTS_MAX_S = 20.0
SCHEMA_TIMEOUT_S = 60.0
SHOWN = 3
_SIZE_SQL = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes"
_ROLE_SQL = "SELECT rolname AS name FROM pg_catalog.pg_roles WHERE rolcanlogin"


class Unlike(Exception):
    """What was restored is not as production is, so that it says nothing of it; one line."""


@dataclass(frozen=True)
class Standing:
    """A schema and its data at one moment."""

    objects: dict[str, str]
    data: DataTaken


class Trial:
    """One plan, tried on one restored database."""

    def __init__(
        self,
        supervisor: Supervisor,
        known: Known,
        restored: Restored,
        *,
        findings: Findings,
        course: Course,
        top: Sequence[Asked],
    ) -> None:
        self._known = known
        self._prepared = known.prepared
        self._plan = known.prepared.plan
        self._restored = restored
        self._superuser = restored.superuser
        self._migrator = restored.as_user(known.prepared.target.user)
        self._findings = findings
        self._course = course
        self._top = top
        self._supervisor = supervisor

    def go(self) -> None:
        """All of it; what is found is in the findings.

        Raises:
            Unlike: it is not as production is.
            Stopped, RecordingFailed, QueryFailed, Unreachable: nothing more can be found out.
        """
        passing = self._stand_where_production_is()
        with self._course.phase("look", "looking at schema and data"):
            before = self._standing()
            timed = time_statements(self._restored.as_user, self._top, seconds=STATEMENTS_MAX_S)
        with self._course.phase("up", f"going up to {self._plan.target}"):
            went = passing.up(self._name("up"), self._steps, self._course.left_s, self._heard)
        if went.error is not None:
            self._failed(went)
            return
        self._findings.revision_elapsed_s = went.revision_elapsed_s
        with self._course.phase("compare", "comparing"):
            after = self._standing()
            later = time_statements(self._restored.as_user, self._top, seconds=STATEMENTS_MAX_S)
        self._findings.slower.extend(slower(timed, later))
        self._findings.changed = columns_changed(before.data, after.data)
        self._note("up", went, before, after, comes_back=True, breaks=broken(timed, later))
        self._findings.end("passed")
        self._and_back(passing, before, after)

    def _stand_where_production_is(self) -> Passing:
        with self._course.phase("look", "bringing it to where production is"):
            self._refuse_without_role()
            found = look(self._migrator)
            self._findings.size_bytes = self._size_bytes()
            ground = Ground(self._superuser, self._migrator, found.server_version)
            passing = Passing(self._supervisor, self._prepared, ground)
            if found.current != self._plan.current:
                self._catch_up(passing, found.current)
            self._refuse_another_schema()
        return passing

    def _refuse_without_role(self) -> None:
        with session(self._superuser, "rehearsal") as opened:
            there = {row["name"] for row in opened.query(_ROLE_SQL)}
        if self._migrator.user not in there:
            raise Unlike(
                f"role {self._migrator.user}, which migrates, is not in backup "
                f"{self._restored.backup_id}; take a new one"
            )

    def _size_bytes(self) -> int:
        with session(self._superuser, "rehearsal") as opened:
            return int(opened.query(_SIZE_SQL, timeout_s=SCHEMA_TIMEOUT_S)[0]["bytes"])

    def _catch_up(self, passing: Passing, at: str | None) -> None:
        """Bring an older backup to where production is, by the revisions that ran since."""
        wanted = self._plan.current
        said = f"backup {self._restored.backup_id} is at {at or 'no revision'}"
        try:
            missing = () if wanted is None else self._between(at, wanted)
        except PlanRefused as error:
            raise Unlike(f"{said}: {error}") from None
        if not missing:
            raise Unlike(f"{said}, production at {wanted or 'no revision'}; take a new backup")
        ending = passing.bring_to(missing, self._course.left_s, self._heard)
        if ending.outcome != "applied":
            raise Unlike(f"{said} and can't be brought to {wanted}: {ending.message}")
        names = ", ".join(step.revision for step in missing)
        self._findings.differs.append(f"the backup is older than {names}, which ran first")

    def _between(self, at: str | None, wanted: str) -> tuple[Step, ...]:
        revisions = read_revisions(self._prepared.tree)
        return steps_of(select_revisions(revisions, at, wanted))

    def _refuse_another_schema(self) -> None:
        meant = self._prepared.seen.fingerprint
        if meant is None:
            raise Unlike("the schema of production could not be read; try again")
        if look(self._migrator, with_schema=True).fingerprint == meant:
            return
        there, here = self._objects(self._prepared.target), self._objects(self._migrator)
        found = [str(each) for each in differences(there, here)]
        if not found:
            raise Unlike("the schema of production changed meanwhile; try again")
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        self._findings.schema_differences.extend(found)
        raise Unlike(
            f"backup {self._restored.backup_id} has another schema than production: "
            f"{'; '.join(found[:SHOWN])}{more}; take a new backup, or see "
            "`shippyard ctl migrate drift`"
        )

    def _and_back(self, passing: Passing, before: Standing, after: Standing) -> None:
        endless = [each.revision for each in self._plan.revisions if not each.reversible]
        if endless:
            said = f"{endless[0]} says no way back"
            self._passage("down", Recorded(), ("irreversible",), said)
            return
        with self._course.phase("down", "going back down"):
            went = passing.down(self._name("down"), self._steps, self._course.left_s, self._heard)
        if went.error is not None:
            self._refuse_stopped(went)
            self._passage("down", went.recorded, ("irreversible",), went.error)
            return
        with self._course.phase("compare", "comparing with what was there before"):
            back = self._standing()
        self._compare_back(before, back)
        self._note("down", went, after, back, comes_back=not self._missing)
        self._and_again(passing, before, after)

    @property
    def _missing(self) -> bool:
        found = self._findings
        return bool(found.schema_differences or found.losses)

    def _compare_back(self, before: Standing, back: Standing) -> None:
        found = self._findings
        found.schema_differences.extend(map(str, differences(before.objects, back.objects)))
        found.losses.extend(losses(before.data, back.data))
        found.unproven.extend(unproven(before.data, back.data))

    def _and_again(self, passing: Passing, before: Standing, after: Standing) -> None:
        with self._course.phase("again", "going up again"):
            went = passing.up(self._name("again"), self._steps, self._course.left_s, self._heard)
            if went.error is not None:
                self._refuse_stopped(went)
                self._passage("again", went.recorded, (), went.error)
                return
            now = self._standing()
        self._passage("again", went.recorded, (), None)
        new = [f"after going up again: {each}" for each in differences(after.objects, now.objects)]
        self._findings.schema_differences.extend(new)
        self._findings.unproven.extend(
            each for each in unproven(before.data, now.data) if each not in self._findings.unproven
        )
        known = set(losses(before.data, after.data))
        lost = [each for each in losses(before.data, now.data) if each not in known]
        self._findings.losses.extend(f"after going up again: {each}" for each in lost)

    def _note(
        self,
        way: Way,
        went: Went,
        before: Standing,
        after: Standing,
        *,
        comes_back: bool,
        breaks: bool = False,
    ) -> None:
        lost = gone(before.data, after.data)
        kinds = classify(before.objects, after.objects, lost, comes_back=comes_back, breaks=breaks)
        self._findings.passages.append(Passage(way, went.recorded, kinds))

    def _passage(
        self, way: Way, recorded: Recorded, kinds: tuple[Kind, ...], error: str | None
    ) -> None:
        self._findings.passages.append(Passage(way, recorded, kinds, error))

    def _failed(self, went: Went) -> None:
        self._refuse_stopped(went)
        self._passage("up", went.recorded, (), went.error)
        self._findings.end("failed", went.error)

    def _refuse_stopped(self, went: Went) -> None:
        """What was cut off from outside has not failed."""
        self._course.check()
        if went.interrupted:
            raise Stopped(went.error or "the runner was ended")

    def _standing(self) -> Standing:
        seconds = min(DATA_MAX_S, self._course.left_s * DATA_TIME_RATIO)
        return Standing(self._objects(self._migrator), take_data(self._superuser, seconds=seconds))

    def _objects(self, target: Target) -> dict[str, str]:
        with session(target, "rehearsal") as opened:
            return read_objects(lambda asked: opened.query(asked, timeout_s=SCHEMA_TIMEOUT_S))

    def _heard(self, event: Event) -> None:
        self._course.check()
        if event.get("event") == "revision_started":
            self._course.tell(f"{event.get('revision')}")
        if event.get("event") == "progress":
            self._course.tell(str(event.get("message")))

    def _name(self, way: Way) -> str:
        return f"rehearsal-{way}"

    @property
    def _steps(self) -> tuple[Step, ...]:
        return steps_of(self._plan.revisions)
