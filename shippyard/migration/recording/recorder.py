"""Owns one recording from its begin to its result: joins the watcher, the names and the counts."""

import contextlib
import threading
from collections.abc import Iterator

from shippyard.host.clock import SystemClock
from shippyard.migration.recording.counting import Disk, Rows, disk_watched, wal
from shippyard.migration.recording.holdings import Holdings
from shippyard.migration.recording.installing import installed
from shippyard.migration.recording.observing import Observation
from shippyard.migration.recording.relations import (
    STORED,
    Names,
    read_relations,
    rewritten,
    scanned,
    sizes_bytes,
    told_rewrites,
)
from shippyard.migration.recording.statements import Statements
from shippyard.migration.recording.telling import Evidence, blocked_of, locks_of
from shippyard.migration.recording.watching import RecordingFailed, Watcher, watching
from shippyard.migration.rehearsal.report import Recorded, Statement
from shippyard.postgres.session import QueryFailed, Session, Unreachable, session
from shippyard.postgres.target import Target

SETTLE_S = 1.0
PREFIX = "shippyard:migrate:"
MS = 1000.0


class Recording:
    """What is recorded so far. Used by one thread; the watcher's thread feeds it."""

    def __init__(self, asking: Session, lookup: Session, counter: str | None, disk: Disk) -> None:
        self._asking = asking
        self._disk = disk
        self._clock = SystemClock()
        self._news = threading.Condition()
        self._holdings, self._statements = Holdings(), Statements()
        self._announced: set[int] = set()
        self._revision: str | None = None
        self._watched = 0
        self._before = read_relations(asking)
        self._names = Names(lookup, self._before)
        self._rows = Rows(asking, counter)
        self._wal_bytes, self._wal_is_minimal = wal(asking)
        self._begun_s = self._clock.monotonic()
        self._watcher: Watcher | None = None
        self._recorded: Recorded | None = None
        self.late_looks = 0

    def take(self, look: Observation) -> None:
        """One look of the watcher's."""
        # Looked up at once: what others can't see yet may be seen a moment later.
        self._names.meet({seen.oid for seen in look.locks})
        with self._news:
            self._holdings.observe(look)
            self._statements.observe(look)
            self._announced |= look.rewrites
            self._watched = len(look.sessions)
            self.late_looks = look.late
            self._news.notify_all()

    def watched_by(self, watcher: Watcher) -> None:
        """Who tells what it looks at; before it begins."""
        self._watcher = watcher

    def revision(self, name: str | None) -> None:
        """From now on `name` runs; None between two of them.

        Raises:
            RecordingFailed: the watcher is gone.
        """
        self._catch_up()
        with _as_failed():
            self._rows.close(self._revision)
        self._names.settle()
        with self._news:
            self._revision = self._holdings.revision = self._statements.revision = name

    def result(self) -> Recorded:
        """Ends the recording at its first call; sessions that still run have a second to end.

        Raises:
            RecordingFailed: the server is gone, or the watcher was not up to it.
        """
        if self._recorded is None:
            with _as_failed():
                self._recorded = self._end()
        return self._recorded

    def _end(self) -> Recorded:
        elapsed_s = self._clock.monotonic() - self._begun_s
        self._catch_up()
        with self._news:
            self._news.wait_for(lambda: self._watched == 0, SETTLE_S)
        ended_s = self._catch_up()
        self._disk.stop()
        self._rows.close(self._revision)
        wal_bytes, _ = wal(self._asking)
        self._names.settle()
        after = read_relations(self._asking)
        changed = rewritten(self._before, after, self._announced)
        now_bytes = sizes_bytes(self._asking, after)
        emptied = {oid for oid in changed if self._is_stored(oid) and now_bytes.get(oid) == 0}
        new_bytes = sum(now_bytes.get(oid, 0) for oid in changed)
        made_bytes = sum(now_bytes[oid] for oid in after.keys() - self._before.keys())
        grown_bytes = self._disk.most_bytes - self._disk.first_bytes
        evidence = Evidence(
            self._holdings.held(ended_s),
            self._names.of,
            self._names.own(),
            frozenset(oid for oid in changed if oid in after and after[oid].file),
        )
        return Recorded(
            locks=locks_of(evidence),
            blocked=blocked_of(evidence),
            rewrites=told_rewrites(self._before, changed, emptied),
            scans=scanned(self._before, after),
            statements=self._told_statements(ended_s),
            # A server that replicates to nobody leaves new files out of its WAL.
            wal_bytes=wal_bytes
            - self._wal_bytes
            + (new_bytes + made_bytes if self._wal_is_minimal else 0),
            # Old and new were both there until the rewrite was committed.
            growth_bytes=max(grown_bytes, new_bytes),
            elapsed_s=round(elapsed_s, 3),
        )

    def _told_statements(self, ended_s: float) -> tuple[Statement, ...]:
        return tuple(
            Statement(
                each.text,
                round(each.elapsed_s * MS, 3),
                self._rows.of(each.query_id, each.revision),
                each.revision,
            )
            for each in self._statements.ran(ended_s)
        )

    def _is_stored(self, oid: int) -> bool:
        return self._before[oid].kind in STORED

    def _catch_up(self) -> float:
        assert self._watcher is not None, "recorded by record()"
        return self._watcher.catch_up(self._asking)


@contextlib.contextmanager
def record(superuser: Target, *, application_prefix: str = PREFIX) -> Iterator[Recording]:
    """Records what sessions of that name do in a database, for the length of a block.

    The server is one that may be thrown away, and `superuser` rules it. `result` may be asked for
    within the block or after it.

    Raises:
        RecordingFailed: it could not begin, or what it had put there could not be taken away.
    """
    with contextlib.ExitStack() as stack:
        try:
            with _as_failed():
                recording = _begun(stack, superuser, application_prefix)
            yield recording
            recording.result()
        except BaseException:
            # What went wrong first is what counts; the server may be gone.
            with contextlib.suppress(QueryFailed, Unreachable):
                stack.close()
            raise
        with _as_failed():
            stack.close()


def _begun(stack: contextlib.ExitStack, superuser: Target, prefix: str) -> Recording:
    counter = stack.enter_context(installed(superuser))
    asking, lookup = (stack.enter_context(session(superuser, "recording")) for _ in range(2))
    disk = stack.enter_context(disk_watched(superuser))
    recording = Recording(asking, lookup, counter, disk)
    recording.watched_by(stack.enter_context(watching(superuser, prefix, recording.take)))
    return recording


@contextlib.contextmanager
def _as_failed() -> Iterator[None]:
    try:
        yield
    except (QueryFailed, Unreachable) as error:
        raise RecordingFailed(f"the migration could not be recorded: {error}") from None
