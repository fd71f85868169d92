"""Owns the course of a restore: assess, notify, restore, verify, hand back, watch.

Works from manifests alone, with the daemon or without it. How dumps and files are restored is
known to the `Place`; who is told, and whose word on durations is taken, is handed in.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import structlog

from shippyard.backup.restore.archive import Progress, RestoreFailed
from shippyard.backup.restore.assess import Assessment, Wanted, assess
from shippyard.backup.restore.course import Done, Means, Place
from shippyard.backup.restore.shelf import NothingHere, Shelved
from shippyard.postgres.session import QueryFailed, Unreachable, one_line
from shippyard.telemetry.condition import Condition, Tell

RunState = Literal["running", "done", "differs", "failed"]

RULE = "restore_running"
FAILED: RunState = "failed"
REMEMBERED = 50
WATCH_PAUSE_S = 0.5

log = structlog.get_logger(__name__)


class RestoreRefusedHere(RestoreFailed):
    """Something stands against it; nothing was changed. `assessment` says what there is."""

    def __init__(self, message: str, assessment: Assessment) -> None:
        super().__init__(message)
        self.assessment = assessment


@dataclass(frozen=True)
class Report:
    """What a restore came to. `differences` empty means that what was compared is equal."""

    backup_id: str
    target: str
    elapsed_s: float
    done: Done

    @property
    def ok(self) -> bool:
        """Whether what was restored is what was backed up, as far as it was compared."""
        return not self.done.differences


@dataclass(frozen=True)
class Run:
    """One restore that this process knows of."""

    target: str
    backup_id: str
    asked_by: str
    started_at: datetime
    state: RunState = "running"
    phase: str = ""
    message: str = ""
    finished_at: datetime | None = None


class Restores:
    """Restores of one process. Safe from any thread."""

    def __init__(self, means: Means, tell: Tell) -> None:
        self._means = means
        self._tell = tell
        self._lock = threading.Lock()
        self._running: dict[str, Run] = {}
        self._past: deque[Run] = deque(maxlen=REMEMBERED)

    def backups(self) -> Shelved:
        """Every backup that may be restored, and those that may not.

        Raises:
            RestoreFailed: the place can't be read.
        """
        try:
            return self._means.shelf.look()
        except NothingHere as error:
            raise RestoreFailed(str(error)) from None

    def runs(self) -> list[Run]:
        """Restores under way, then those that ended, newest first."""
        with self._lock:
            return [*self._running.values(), *reversed(self._past)]

    def assess(self, wanted: Wanted, place: Place) -> Assessment:
        """What can be done; changes nothing.

        Raises:
            RestoreFailed: the backups can't be read.
        """
        return assess(wanted, place.look(wanted, self.backups()))

    def run(
        self,
        wanted: Wanted,
        place: Place,
        *,
        asked_by: str,
        progress: Progress = lambda _: None,
        watch_s: float = 60.0,
    ) -> Report:
        """Restore what is wanted to its place.

        Raises:
            RestoreRefusedHere: something stands against it; nothing was changed.
            RestoreInterrupted, RestoreFailed: it did not succeed; says what is left.
        """
        with self._means.shelf.reading():
            return self._run(wanted, place, asked_by, progress, watch_s)

    def _run(
        self, wanted: Wanted, place: Place, asked_by: str, progress: Progress, watch_s: float
    ) -> Report:
        assessment = self.assess(wanted, place)
        if assessment.refusals or assessment.chosen is None:
            raise RestoreRefusedHere("; ".join(assessment.refusals), assessment)
        began = self._means.clock.monotonic()
        with self._remembered(assessment, place, asked_by) as note:
            done = place.restore(assessment, _both(progress, note))
            note.ends = "differs" if done.differences else "done"
            progress({"phase": "watching"})
            self._watch(place, watch_s)
        elapsed_s = self._means.clock.monotonic() - began
        return Report(assessment.chosen.id, place.name, elapsed_s, done)

    @contextlib.contextmanager
    def _remembered(self, assessment: Assessment, place: Place, asked_by: str) -> Iterator["_Note"]:
        chosen, clock = assessment.chosen, self._means.clock
        assert chosen is not None, "a choice"
        run = Run(place.name, chosen.id, asked_by, clock.now())
        with self._lock:
            if place.address in self._running:
                raise RestoreFailed(
                    f"a restore into {place.name} is under way; see `shippyard ctl restore status`"
                )
            self._running[place.address] = run
        note = _Note(self._running, place.address)
        point = str(assessment.wanted.point)
        log.warning(
            "restore.started",
            backup=chosen.id,
            target=place.address,
            point=point,
            part=str(assessment.wanted.only or "all"),
            asked_by=asked_by,
        )
        self._say(chosen.database, f"{chosen.id} is being restored into {place.name} ({point})")
        reason, state = "interrupted", FAILED
        try:
            yield note
            reason, state = "", note.ends
        except RestoreFailed as error:
            reason = str(error)
            raise
        except (NothingHere, Unreachable, QueryFailed, OSError) as error:
            reason = one_line(error)
            raise RestoreFailed(reason) from None
        finally:
            self._end(
                place.address, replace(note.run, state=state, message=reason), chosen.database
            )

    def _end(self, address: str, run: Run, subject: str) -> None:
        clock = self._means.clock
        with self._lock:
            del self._running[address]
            self._past.append(replace(run, finished_at=clock.now()))
        elapsed_s = (clock.now() - run.started_at).total_seconds()
        log.warning(
            "restore.finished",
            backup=run.backup_id,
            target=address,
            state=run.state,
            error=run.message or None,
            asked_by=run.asked_by,
            elapsed_s=elapsed_s,
        )
        self._say(subject, None)

    def _say(self, subject: str, summary: str | None) -> None:
        self._tell(Condition(RULE, subject, summary, "ticket"))

    def _watch(self, place: Place, watch_s: float) -> None:
        """Until it reads and writes.

        Raises:
            RestoreFailed: not within `watch_s`.
        """
        clock, pause = self._means.clock, threading.Event()
        deadline = clock.monotonic() + watch_s
        while True:
            said = "it does not write yet"
            try:
                if place.answers():
                    return
            except (Unreachable, QueryFailed) as error:
                said = str(error)
            if clock.monotonic() > deadline or self._means.processes.stopping:
                raise RestoreFailed(
                    f"{place.name} was restored and does not answer read-write "
                    f"after {watch_s:g} s: {said}"
                )
            pause.wait(WATCH_PAUSE_S)


class _Note:
    """What is remembered of a restore while it runs."""

    def __init__(self, running: dict[str, Run], address: str) -> None:
        self._running = running
        self._address = address
        self.ends: RunState = "done"

    @property
    def run(self) -> Run:
        return self._running[self._address]

    def progress(self, phase: str, message: str) -> None:
        self._running[self._address] = replace(self.run, phase=phase, message=message)


def _both(progress: Progress, note: _Note) -> Progress:
    def say(fields: Mapping[str, Any]) -> None:
        note.progress(str(fields.get("phase", "")), str(fields.get("message", "")))
        progress(fields)

    return say
