"""Owns one recording from its begin to its result: joins the watcher, the names and the counts."""

import contextlib
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from shippyard.host.clock import SystemClock
from shippyard.migration.recording.counting import Disk, Rows, disk_watched, wal
from shippyard.migration.recording.holdings import Holdings
from shippyard.migration.recording.installing import installed
from shippyard.migration.recording.observing import Observation
from shippyard.migration.recording.pauses import Pauses
from shippyard.migration.recording.relations import (
    STORED,
    Known,
    Names,
    read_relations,
    rewritten,
    scanned,
    sizes_bytes,
    told_rewrites,
)
from shippyard.migration.recording.statements import Statements
from shippyard.migration.recording.telling import Evidence, blocked_of, locks_of
from shippyard.migration.recording.watching import (
    ANSWER_TIMEOUT_S,
    RecordingFailed,
    Watcher,
    watching,
)
from shippyard.migration.rehearsal.report import Recorded, Statement
from shippyard.postgres.session import (
    QueryFailed,
    Session,
    Unreachable,
    open_session,
    session,
)
from shippyard.postgres.target import Target

SETTLE_S = 1.0
PREFIX = "shippyard:migrate:"
MS = 1000.0


@dataclass(frozen=True)
class Files:
    """What became of files: bytes of changed and of new ones, and tables that have nothing now."""

    changed_bytes: int
    made_bytes: int
    emptied: frozenset[int]


class Recording:
    """What is recorded so far. Used by one thread; the watcher's thread feeds it."""

    def __init__(self, asking: Session, lookup: Session, counter: str | None, disk: Disk) -> None:
        self._asking = asking
        self._disk = disk
        self._clock = SystemClock()
        self._news = threading.Condition()
        self._pauses = Pauses()
        self._holdings, self._statements = Holdings(self._pauses), Statements(self._pauses)
        self._announced: set[int] = set()
        self._revision: str | None = None
        self._watched = 0
        self._before = read_relations(asking)
        self._names = Names(lookup, self._before)
        self._rows = Rows(asking, counter)
        self._wal_bytes, _ = wal(asking)
        self._begun_s = self._clock.monotonic()
        self._watcher: Watcher | None = None
        self._recorded: Recorded | None = None
        self._late = 0

    def take(self, look: Observation) -> None:
        """One look of the watcher's."""
        # Looked up at once: what others can't see yet may be seen a moment later.
        self._names.meet({seen.oid for seen in look.locks})
        with self._news:
            self._pauses.observe(look)
            self._holdings.observe(look)
            self._statements.observe(look)
            self._announced |= look.rewrites
            self._watched = len(look.sessions)
            self._late = look.late
            self._news.notify_all()

    def watched_by(self, watcher: Watcher) -> None:
        """Who tells what it looks at; before it begins."""
        self._watcher = watcher

    def revision(self, name: str | None) -> None:
        """From now on `name` runs; None between two of them.

        Raises:
            RecordingFailed: the watcher is gone.
        """
        at_s = self._catch_up()
        with _as_failed():
            self._rows.close(self._revision)
        self._names.settle(at_s)
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
        self._names.settle(ended_s)
        after = read_relations(self._asking)
        changed = rewritten(self._before, after, self._announced)
        files = self._files(after, changed)
        refiled = frozenset(oid for oid in changed if oid in after)
        evidence = Evidence(
            self._holdings.held(ended_s), self._names.of, self._names.is_public, refiled
        )
        return Recorded(
            locks=locks_of(evidence),
            blocked=blocked_of(evidence),
            rewrites=told_rewrites(self._before, changed, files.emptied),
            scans=scanned(self._before, after),
            statements=self._told_statements(ended_s),
            wal_bytes=self._wal_since(files),
            # Old and new were both there until the rewrite was committed.
            growth_bytes=max(self._disk.most_bytes - self._disk.first_bytes, files.changed_bytes),
            elapsed_s=round(elapsed_s, 3),
            gaps=self._late,
        )

    def _files(self, after: Known, changed: AbstractSet[int]) -> Files:
        sizes = sizes_bytes(self._asking, changed | (after.keys() - self._before.keys()))
        stored = {oid for oid in changed if self._before[oid].kind in STORED}
        return Files(
            changed_bytes=sum(sizes.get(oid, 0) for oid in changed),
            made_bytes=sum(size for oid, size in sizes.items() if oid not in self._before),
            emptied=frozenset(oid for oid in stored if sizes.get(oid) == 0),
        )

    def _wal_since(self, files: Files) -> int:
        wal_bytes, minimal = wal(self._asking)
        # A server that replicates to nobody leaves new files out of its WAL.
        left_out = files.changed_bytes + files.made_bytes if minimal else 0
        return wal_bytes - self._wal_bytes + left_out

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
    # The watcher answers by a lock that it gives back; on a busy machine that takes its time.
    patient = {"lock_timeout": f"{ANSWER_TIMEOUT_S:.0f}s"}
    asking = stack.enter_context(
        contextlib.closing(open_session(superuser, "recording", settings=patient))
    )
    lookup = stack.enter_context(session(superuser, "recording"))
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
