"""Owns looking at the kept WAL itself: what is there, and whether it still is what was put.

Presence and size of everything are looked at each time. Content is read again when a file changed
since it was read, and else in turn, so that each is read at least every `REREAD_S`, or as often as
the share of time given to it allows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from os import stat_result

import structlog

from shippyard.backup.lock import Busy
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.names import NameInvalid, is_segment, parse_segment
from shippyard.backup.wal.record import Kept
from shippyard.backup.wal.scan import Holdings, Span, Why, segments_in
from shippyard.host.clock import Clock

REREAD_S = 24 * 3600.0
FRESH_SHARE = 0.25
"""Of the time between two looks: for files that are new to us, or were changed."""
AGAIN_SHARE = 0.05
"""Of the time between two looks: for files that were read before."""
DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024

_Print = tuple[int, int, int, int]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Looked:
    """What one look found. `others` are histories and the like that are missing or damaged."""

    holdings: Holdings
    kept: Kept
    others: dict[str, str] = field(default_factory=dict)
    read_again: int = 0
    unread: int = 0


@dataclass
class _Read:
    """When a file was last read to its end, as it was then."""

    fingerprint: _Print
    at: float
    problem: str | None


class Presence:
    """Looks at one archive, and remembers what it read. Used by one thread."""

    def __init__(
        self,
        archive: WalArchive,
        *,
        clock: Clock,
        every_s: float,
        given_up: Callable[[], bool] = lambda: False,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._every_s = every_s
        self._given_up = given_up
        self._beat = beat
        self._read: dict[str, _Read] = {}

    def look(
        self, also_held: Iterable[str] = (), *, usual_bytes: int = DEFAULT_SEGMENT_BYTES
    ) -> Looked:
        """Look at everything; `also_held` are names on their way into the archive.

        `usual_bytes` is a segment's size before any came.

        Raises:
            OSError: the archive can't be looked at.
        """
        self._adopt()
        # In the order in which files move, so that none is missed on its way.
        also_held = {*also_held, *self._archive.segments_begun()}
        kept = self._archive.kept()
        stats = self._archive.stats()
        if any(name not in stats for name in kept.entries):
            # Some may have been taken away on purpose meanwhile.
            still = self._archive.kept().entries
            kept = replace(kept, entries={n: e for n, e in kept.entries.items() if n in still})
        read, unread = self._read_content(kept, stats)
        problems = self._problems(kept, stats)
        size = kept.identity.segment_bytes if kept.identity else usual_bytes
        names = {*stats, *also_held}
        holdings = Holdings(
            segment_bytes=size,
            held=segments_in(names, size),
            recorded=segments_in(kept.entries, size),
            problems={parse_segment(n, size): why for n, why in problems.items() if is_segment(n)},
            lost=_spans_lost(kept, size),
            histories=self._archive.histories(),
        )
        others: dict[str, str] = {n: w for n, w in problems.items() if not is_segment(n)}
        if self._read and not self._archive.folder.is_dir():
            others[str(self._archive.folder)] = "missing"
        others.update({n: "missing" for n in kept.entries if n not in stats and not is_segment(n)})
        return Looked(holdings, kept, others, read, unread)

    def _adopt(self) -> None:
        """List what lies here unlisted: its list was lost, or it was put while we died."""
        listed = self._archive.kept().entries
        for name in sorted(self._archive.stats()):
            if name not in listed and not self._given_up():
                self._beat()
                try:
                    self._archive.adopt(name, self._clock.now())
                except Busy:
                    return

    def _read_content(self, kept: Kept, stats: dict[str, stat_result]) -> tuple[int, int]:
        """Read what is due, within the time there is; gives how many were, and how many wait."""
        now = self._clock.monotonic()
        present = [name for name in kept.entries if name in stats]
        for name in self._read.keys() - set(present):
            del self._read[name]
        fresh = [name for name in present if not self._is_known(name, stats[name])]
        known = set(present).difference(fresh)
        again = [name for name in known if now - self._read[name].at > REREAD_S]
        again.sort(key=lambda name: self._read[name].at)
        # The newest first: that is where a restore most often goes.
        done = self._read_some(fresh[::-1], stats, FRESH_SHARE)
        done += self._read_some(again, stats, AGAIN_SHARE)
        return done, len(fresh) + len(again) - done

    def _read_some(self, names: list[str], stats: dict[str, stat_result], share: float) -> int:
        until = self._clock.monotonic() + share * self._every_s
        for done, name in enumerate(names):
            if self._given_up() or (done and self._clock.monotonic() > until):
                return done
            self._beat()
            try:
                problem = self._archive.problem(name)
            except OSError as error:
                problem = f"{name} can't be read: {error.strerror}"
            if problem:
                log.error("wal.damaged", segment=name, reason=problem)
            self._read[name] = _Read(_fingerprint(stats[name]), self._clock.monotonic(), problem)
        return len(names)

    def _is_known(self, name: str, stat: stat_result) -> bool:
        return name in self._read and self._read[name].fingerprint == _fingerprint(stat)

    def _is_damaged(self, name: str) -> bool:
        return name in self._read and self._read[name].problem is not None

    def _problems(self, kept: Kept, stats: dict[str, stat_result]) -> dict[str, Why]:
        problems: dict[str, Why] = {}
        for name, stat in stats.items():
            entry = kept.entries.get(name)
            if entry and stat.st_size < entry.stored_bytes:
                problems[name] = "short"
            elif entry is None or stat.st_size > entry.stored_bytes or self._is_damaged(name):
                # What is unlisted did not decode, or it would be listed.
                problems[name] = "different"
        return problems


def _fingerprint(stat: stat_result) -> _Print:
    """What changes whenever a file is written to, whatever its writer pretends."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _spans_lost(kept: Kept, segment_bytes: int) -> list[Span]:
    spans = []
    for lost in kept.lost:
        try:
            first = parse_segment(lost.first, segment_bytes)
            last = parse_segment(lost.last, segment_bytes)
        except NameInvalid:
            continue
        spans.append(Span(first.timeline, first.number, last.number))
    return spans
