"""Owns looking each minute whether backups and drills are late, and saying so.

It also notes the time for `clockwatch`. What late means is `late`'s business; who is told is not
known here.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.backup.catalog import Catalog
from shippyard.backup.clockwatch import Clockwatch
from shippyard.backup.drill.objectives import OBJECTIVES
from shippyard.backup.failures import is_critical
from shippyard.backup.late import Expected, drill_late, how_late
from shippyard.backup.layout import Layout
from shippyard.backup.model import Backup, Kind, kinds_of, subject_of_cluster
from shippyard.calendar.due import Schedule, parse_schedule
from shippyard.config.models import Config, Database
from shippyard.host.clock import Clock
from shippyard.postgres.session import one_line
from shippyard.state.database import State
from shippyard.state.notes import Notes
from shippyard.telemetry.condition import Condition, Tell

EVERY_S = 60.0
JOIN_S = 3.0
LATE = "backup_late"
NOTE = "expected_since"

LastDrill = Callable[[str], datetime | None]
"""When the newest drill of a subject was begun, however it ended; None when there was none."""

log = structlog.get_logger(__name__)


class Lateness:
    """Says of every subject whether its backups and drills come, from a thread of its own.

    Stopping twice, or before starting, is fine.

    Raises:
        BadSchedule: a schedule can't be read.
    """

    def __init__(
        self,
        config: Config,
        *,
        state: State,
        clock: Clock,
        tell: Tell,
        last_drill: LastDrill = lambda _: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._catalog = Catalog(state)
        self._layout = Layout(config.backup.dir)
        self._notes = Notes(state)
        self._clockwatch = Clockwatch(self._notes)
        self._tell = tell
        self._last_drill = last_drill
        self._beat = beat
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._up_since = clock.now()
        self._schedules = _schedules(config)
        self._drills = _parsed(config, config.backup.drill.schedule)
        self._subjects = _subjects(config)

    def start(self) -> None:
        """Begin to look."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._turn, name="lateness", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def look(self, now: datetime) -> None:
        """One look at everything. Errors of the state pass through."""
        self._clockwatch.look(now)
        watched = self._watched(now)
        history = self._history()
        unseen = self._unseen()
        for subject in self._subjects:
            problems = self._problems(subject, history[subject], watched, unseen, now)
            self._say(subject, list(problems))

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            try:
                self.look(self._clock.now())
            except (SQLAlchemyError, OSError) as error:
                log.warning("lateness.not_looked", reason=one_line(error))
            self._stopping.wait(EVERY_S)

    def _problems(
        self,
        subject: str,
        history: Mapping[Kind, Sequence[Backup]],
        watched: Mapping[str, datetime],
        unseen: Mapping[str, str],
        now: datetime,
    ) -> Iterator[str]:
        if subject in unseen:
            yield f"its backups can't be seen: {unseen[subject]}; is it mounted?"
            return
        for kind in kinds_of(subject):
            expected = self._expected(subject, kind, self._schedules[kind], watched)
            if late := how_late(expected, history.get(kind, []), now):
                yield late
        drills = self._expected(subject, "dump", self._drills, watched)
        may_take_s = self._config.backup.drill.timeout_s
        if late := drill_late(drills, self._last_drill(subject), now, may_take_s=may_take_s):
            yield late

    def _expected(
        self,
        subject: str,
        kind: Kind,
        schedules: tuple[Schedule, ...],
        watched: Mapping[str, datetime],
    ) -> Expected:
        alone = {d.name: OBJECTIVES[d.criticality].rpo_s for d in self._by_dumps_alone()}
        rpo_s = alone.get(subject) if kind == "dump" else None
        return Expected(subject, kind, schedules, watched[subject], self._up_since, rpo_s)

    def _say(self, subject: str, problems: list[str]) -> None:
        summary = f"backups of {subject}: {problems[0]}" if problems else None
        evidence: dict[str, Any] = {"problems": problems} if problems else {}
        severity: Literal["page", "ticket"] = (
            "page" if is_critical(self._config, subject) else "ticket"
        )
        self._tell(Condition(LATE, subject, summary, severity, evidence))

    def _by_dumps_alone(self) -> list[Database]:
        """Databases of which nothing but dumps is kept."""
        clusters = self._config.backup.clusters
        with_wal = {name for name, each in clusters.items() if each.wal != "off"}
        return [d for d in self._config.databases if d.cluster not in with_wal]

    def _history(self) -> Mapping[str, Mapping[Kind, Sequence[Backup]]]:
        found: dict[str, dict[Kind, list[Backup]]] = defaultdict(lambda: defaultdict(list))
        for backup in self._catalog.all():
            found[backup.database][backup.kind].append(backup)
        return found

    def _unseen(self) -> Mapping[str, str]:
        """Subjects with backups that count, whose folder can't be read now."""
        whys = {subject: self._layout.unseen(subject) for subject in self._catalog.relied_on()}
        return {subject: why for subject, why in whys.items() if why}

    def _watched(self, now: datetime) -> Mapping[str, datetime]:
        """Since when each subject's backups are expected; remembered over restarts."""
        noted: dict[str, str] = self._notes.read(NOTE) or {}
        new = {s: now.isoformat() for s in self._subjects if s not in noted}
        kept = {s: at for s, at in noted.items() if s in self._subjects}
        if new or kept != noted:
            self._notes.write(NOTE, kept | new, now)
        return {subject: datetime.fromisoformat(at) for subject, at in (kept | new).items()}


def _subjects(config: Config) -> tuple[str, ...]:
    clusters = map(subject_of_cluster, config.backup.clusters)
    return tuple(chain((d.name for d in config.databases), clusters))


def _schedules(config: Config) -> Mapping[Kind, tuple[Schedule, ...]]:
    backup = config.backup
    return {
        "dump": _parsed(config, backup.dump_schedule),
        "schema": _parsed(config, backup.schema_schedule),
        "base": _parsed(config, backup.base_schedule, backup.incremental_schedule),
    }


def _parsed(config: Config, *lines: str) -> tuple[Schedule, ...]:
    return tuple(parse_schedule(line, config.backup.timezone) for line in lines if line)
