"""Owns handing WAL to a server that recovers: a spool, filled ahead of it by threads.

PostgreSQL runs a few lines of `sh` for each file, which wait and move. A file is decompressed and
proven before it is in the spool. What is missing or damaged while later WAL is kept ends recovery
with its name: to say "there is none" would make PostgreSQL promote with data missing.
"""

import contextlib
import os
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shippyard.backup.restore.physical import FETCH, LaidOut, RestoreRefused, WalSource, WalUnusable
from shippyard.backup.restore.plan import Plan, refuse_short
from shippyard.backup.restore.spooled import judge, used_bytes
from shippyard.backup.restore.unpack import FOLDER_MODE, Owner, owner_of
from shippyard.backup.wal.names import NameInvalid, is_history, is_segment, parse_history
from shippyard.postgres.session import one_line

AHEAD_BYTES = 512 * 1024 * 1024
AHEAD_MIN = 2
TURN_S = 0.01
TURNS_A_PULSE = 100
STOP_S = 3.0
FOLDERS = ("ready", "want", "absent", "refused")
WAL_FOLDER = "pg_wal"

_SCRIPT = Path(__file__).with_name("fetch.sh").read_text()


@dataclass(frozen=True)
class Fed:
    """How recovery went: files it was given, and the position at which it ended, if it says."""

    segments: int
    ended: int | None


class WalFeeder:
    """Feeds one recovery, for the length of a block. `spool` is best on the data folder's disk.

    At most `ahead_bytes` are in the spool before recovery wants them, but for two segments;
    `jobs` are fetched at once.
    """

    def __init__(
        self,
        source: WalSource | None,
        spool: Path,
        plan: Plan,
        laid: LaidOut,
        *,
        account: str | None,
        ahead_bytes: int = AHEAD_BYTES,
        jobs: int = 2,
    ) -> None:
        self._source = source
        self._spool = spool
        self._plan = plan
        self._laid = laid
        self._account = account
        self._owner = Owner()
        self._ahead = max(AHEAD_MIN, ahead_bytes // laid.segment_bytes)
        self._jobs = jobs
        self._fetching: dict[str, Future[None]] = {}
        # What came with the backup need not come again, but for its last one.
        self._next = plan.number_of(laid.wal[-1]) if laid.wal else plan.first
        self._given: set[str] = set()
        self._last_is_loose = False
        self._stop = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="wal-feeder", daemon=True)
        self.refused: str | None = None
        """Why recovery was ended, naming the file; None while it was not."""

    @property
    def segments(self) -> int:
        """WAL files that recovery has asked for or that wait for it."""
        return len(self._given)

    def __enter__(self) -> Self:
        self._owner = owner_of(self._account)
        self._spool.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for folder in (self._spool, *(self._spool / name for name in FOLDERS)):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            os.chown(folder, self._owner.uid, self._owner.gid)
        self._put(FETCH, _SCRIPT)
        self._put("pulse", "0\n")
        (self._spool / "ended").unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_S)
        if self._over:
            shutil.rmtree(self._spool, ignore_errors=True)
            return
        # A server that still recovers must end, and not take the silence for the end of WAL.
        with contextlib.suppress(OSError):
            self._put("ended", "")
            shutil.rmtree(self._spool / "ready", ignore_errors=True)

    def check(self) -> Fed:
        """Call it when the server has promoted: did it get as far as WAL is kept?

        Raises:
            RestoreRefused: it ended before; or it was ended, and why.
        """
        if self.refused:
            raise RestoreRefused(self.refused)
        ended = end_of_recovery(self._laid.data_dir)
        refuse_short(self._plan, ended, last_is_loose=self._last_is_loose)
        self._over = True
        return Fed(len(self._given), ended)

    def _run(self) -> None:
        """In a thread: answer what is wanted, fetch ahead, and show that somebody is here."""
        turns = 0
        with ThreadPoolExecutor(self._jobs, "wal-fetch") as pool:
            try:
                while not self._stop.wait(TURN_S):
                    self._turn(pool)
                    turns += 1
                    if turns % TURNS_A_PULSE == 0:
                        self._put("pulse", f"{turns}\n")
            except Exception as error:  # noqa: BLE001  whatever it is, recovery must not go on
                self.refused = f"WAL can't be handed out: {one_line(error)}"
                with contextlib.suppress(OSError):
                    self._put("ended", "")
            pool.shutdown(wait=True, cancel_futures=True)

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        for want in list((self._spool / "want").iterdir()):
            self._answer(pool, want.name)
        done = [name for name, future in self._fetching.items() if _went_well(future)]
        for name in done:
            del self._fetching[name]
        waiting = sum(1 for _ in (self._spool / "ready").iterdir()) + len(self._fetching)
        for _ in range(waiting, self._ahead):
            self._prefetch(pool)

    def _prefetch(self, pool: ThreadPoolExecutor) -> None:
        if self._next > self._plan.last:
            return
        for name in self._plan.candidates(self._next)[:1]:
            if name not in self._fetching:
                self._fetch(pool, name)
        self._next += 1

    def _answer(self, pool: ThreadPoolExecutor, name: str) -> None:
        """One file that recovery waits for now."""
        fetching = self._fetching.get(name)
        if fetching is not None:
            if fetching.done() and (error := fetching.exception()):
                self._refuse(name, one_line(error))
        elif any((self._spool / folder / name).exists() for folder in ("ready", "absent")):
            (self._spool / "want" / name).unlink(missing_ok=True)
        elif not (self._spool / "refused" / name).exists():
            self._decide(pool, name)

    def _decide(self, pool: ThreadPoolExecutor, name: str) -> None:
        if is_segment(name):
            self._decide_segment(pool, name, self._plan.number_of(name))
        elif is_history(name) and name in self._plan.names:
            self._fetch(pool, name)
        else:
            self._put_away("absent", name)

    def _decide_segment(self, pool: ThreadPoolExecutor, name: str, number: int) -> None:
        # From where recovery is, fetching ahead goes on.
        self._next = max(self._next, min(number, self._plan.last) + 1)
        others = {*self._plan.candidates(number), *self._laid.wal} - {name}
        is_elsewhere = any(each in others for each in self._line_names(number))
        if number > self._plan.last or name in self._laid.wal[:-1]:
            self._put_away("absent", name)
        elif name in self._plan.names:
            self._fetch(pool, name)
        elif name in self._laid.wal or is_elsewhere or name not in self._line_names(number):
            self._put_away("absent", name)
        else:
            self._refuse(name, f"WAL segment {name} is missing, and later ones are kept")

    def _line_names(self, number: int) -> list[str]:
        return self._plan.line.names(number, self._plan.segment_bytes)

    def _fetch(self, pool: ThreadPoolExecutor, name: str) -> None:
        self._fetching[name] = pool.submit(self._take_in, name)

    def _take_in(self, name: str) -> None:
        """In a pool: bring one file into the spool, proven, or say that there is none."""
        assert self._source is not None, f"{name} without a source"
        part = self._spool / f".{name}.part"
        try:
            if not self._source.fetch(name, part):
                raise WalUnusable(f"{name} is listed, and can't be found any more")
            if is_segment(name) and not self._is_of_use(part, name):
                self._put_away("absent", name)
                return
            part.chmod(0o600)
            os.chown(part, self._owner.uid, self._owner.gid)
            part.rename(self._spool / "ready" / name)
            self._given.add(name)
        finally:
            part.unlink(missing_ok=True)

    def _is_of_use(self, part: Path, name: str) -> bool:
        """False for a segment that holds less than what recovery has already."""
        is_last = self._plan.number_of(name) == self._plan.last
        judged = judge(
            part,
            name,
            segment_bytes=self._laid.segment_bytes,
            system_identifier=self._laid.system_identifier,
            is_last=is_last,
        )
        if is_last:
            self._last_is_loose = not judged.begins_a_record
        own = self._laid.data_dir / WAL_FOLDER / name
        if name in self._laid.wal and own.is_file():
            return judged.used_bytes > used_bytes(own)
        return judged.used_bytes > 0

    def _refuse(self, name: str, why: str) -> None:
        self.refused = why
        self._put(f"refused/{name}", f"{why}\n")
        (self._spool / "want" / name).unlink(missing_ok=True)

    def _put_away(self, folder: str, name: str) -> None:
        self._put(f"{folder}/{name}", "")

    def _put(self, name: str, text: str) -> None:
        """A small file that is never seen half written."""
        part = self._spool / f".{name.replace('/', '.')}.put"
        part.write_text(text)
        part.chmod(0o600)
        os.chown(part, self._owner.uid, self._owner.gid)
        part.rename(self._spool / name)


def end_of_recovery(data_dir: Path) -> int | None:
    """Where a promoted server's own timeline begins; None when it did not promote."""
    histories = sorted(p for p in (data_dir / WAL_FOLDER).iterdir() if is_history(p.name))
    try:
        switches = parse_history(histories[-1].read_text()) if histories else ()
    except NameInvalid:
        return None
    return switches[-1].lsn if switches else None


def _went_well(future: Future[None]) -> bool:
    return future.done() and future.exception() is None
