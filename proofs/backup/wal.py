"""Row about gaps in WAL: each segment that goes is found and named, timelines make no false one.

The segments are a real server's, received as in production. Each is taken away, cut and flipped
under the whole look that the daemon takes; how long the daemon itself needs is timed for some.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proofs.backup.walyard import WalYard, connected, is_writable, walyard
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.presence import Presence
from shippyard.backup.wal.scan import scan
from shippyard.backup.wal.watch import WalWatch, Watched
from shippyard.host.clock import SystemClock
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.state.database import State, open_state
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics

FOUND_WITHIN_S = 300.0
SEED = 4

Fault = Callable[[Path], None]


def wal_gaps(context: Context) -> Outcome:
    """Every segment removed, cut and flipped one at a time; then timelines; then the real watch."""
    segments = context.count(full=100, quick=12)
    timed_s = context.count(full=120, quick=3)
    with walyard(context.folder / "yard") as yard, yard.server("primary") as primary:
        with yard.receiver(primary):
            yard.fill(primary, segments)
        context.say(f"{len(yard.whole())} segments received; each is taken, cut and flipped")
        missed = _every_one(yard.archive)
        context.say("the watch itself is timed")
        slowest_s = _timed(context, yard, primary, timed_s)
    context.say("timelines")
    false = _promotions(context)
    ok = not missed and not false and slowest_s <= FOUND_WITHIN_S
    looks = 3 * segments
    return Outcome(
        f"{looks - len(missed)} of {looks} faults named by the look; by the watch, with "
        f"wal_scan_s {timed_s}, each of {context.count(full=4, quick=2)} named in ≤ "
        f"{slowest_s:.0f} s; {len(false)} false gaps over {context.count(full=2, quick=1)} "
        "promotions",
        ok=ok,
        note="; ".join([*missed, *false][:5]),
    )


def _every_one(archive: WalArchive) -> list[str]:
    """Faults that the look did not name, or named wrongly; nothing else may be named either."""
    presence = Presence(archive, clock=SystemClock(), every_s=1e9)
    missed = []
    for name in sorted(archive.stats()):
        for why, fault in FAULTS.items():
            if _named(presence) or _with_fault(presence, archive, name, fault) != [(name, why)]:
                missed.append(f"{name} {why}")
    if _named(presence):
        missed.append("what was put back is still named")
    return missed


def _with_fault(
    presence: Presence, archive: WalArchive, name: str, fault: Fault
) -> list[tuple[str, str]]:
    path = archive.path(name)
    whole = path.read_bytes()
    fault(path)
    try:
        return _named(presence)
    finally:
        path.write_bytes(whole)


def _named(presence: Presence) -> list[tuple[str, str]]:
    """Segments that the look names, and why."""
    looked = presence.look()
    size = looked.holdings.segment_bytes
    return [(name, gap.why) for gap in scan(looked.holdings, []).gaps for name in gap.names(size)]


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: random.Random(SEED).randrange(1, len(data))])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = random.Random(SEED + len(data)).randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)


FAULTS: dict[str, Fault] = {"missing": Path.unlink, "short": _cut, "different": _flip}


def _timed(context: Context, yard: WalYard, primary: EmbeddedCluster, scan_s: float) -> float:
    """The longest time from a fault to the condition that names it, by the daemon's own watch.

    One segment is flipped before the watch begins, when it knows no file yet.
    """
    names = yard.whole()
    told: list[Condition] = []
    with open_state(context.folder / "state") as state, yard.receiver(primary):
        _flip(yard.archive.path(names[1]))
        begun = time.monotonic()
        with _watching(yard, primary, state, told, scan_s):
            until(lambda: _is_told(told, names[1]), FOUND_WITHIN_S, f"{names[1]} named")
            waits = [time.monotonic() - begun]
            # All that was there has been read by now, so these are found as changes.
            faults = dict(zip((names[3], names[5], names[-1]), FAULTS.values(), strict=True))
            chosen = list(faults)[: context.count(full=3, quick=1)]
            begun = time.monotonic()
            for name in chosen:
                faults[name](yard.archive.path(name))
            for name in chosen:
                until(lambda: _is_told(told, name), FOUND_WITHIN_S, f"{name} named")  # noqa: B023  called at once
                waits.append(time.monotonic() - begun)
    return max(waits)


@contextmanager
def _watching(
    yard: WalYard, primary: EmbeddedCluster, state: State, told: list[Condition], scan_s: float
) -> Iterator[WalWatch]:
    config = yard.configure(primary)
    watch = WalWatch(
        Watched("main", config.backup.clusters["main"], primary.target(), None, scan_s),
        yard.archive,
        bases=lambda _: [],
        state=state,
        metrics=Metrics(),
        clock=SystemClock(),
        tell=told.append,
    )
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def _is_told(told: list[Condition], name: str) -> bool:
    last = next((each for each in reversed(told) if each.rule == "wal_gap"), None)
    return last is not None and name in str(last.summary)


def _promotions(context: Context) -> list[str]:
    """False gaps after promotions: of a standby that was behind, and of one that had all."""
    with walyard(context.folder / "promotions") as yard, yard.server("first") as first:
        with yard.standby_of(first, "second") as second:
            false = _promotion(yard, first, second, "a standby that was behind", behind=2)
            if context.quick:
                return false
            with yard.standby_of(second, "third") as third:
                return false + _promotion(yard, second, third, "a standby that had all", behind=0)


def _promotion(
    yard: WalYard, primary: EmbeddedCluster, standby: EmbeddedCluster, what: str, *, behind: int
) -> list[str]:
    """A standby follows, then not; the primary dies; what is named falsely after it took over."""
    with yard.receiver(primary):
        yard.fill(primary, 2)
        standby.start()
        _follow(primary)
        if behind:
            standby.stop()
            yard.fill(primary, behind)
    return _after(yard, primary, standby, what)


def _follow(primary: EmbeddedCluster) -> None:
    """Wait until a standby has replayed all."""
    query = (
        "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver'"
        " AND replay_lsn >= pg_current_wal_flush_lsn()"
    )
    with connected(primary) as connection:
        until(lambda: connection.execute(query).fetchone() == (1,), 30, "the standby follows")


def _after(
    yard: WalYard, primary: EmbeddedCluster, standby: EmbeddedCluster, what: str
) -> list[str]:
    """The primary dies, the standby takes over, receiving goes on there; what is named falsely."""
    primary.signal_all(signal.SIGKILL)
    if standby.postmaster_pid() is None:
        standby.start()
    with connected(standby) as connection:
        connection.execute("SELECT pg_promote()")
    until(lambda: is_writable(standby), 30, "promoted")
    with yard.receiver(standby):
        yard.fill(standby, 2)
    presence = Presence(yard.archive, clock=SystemClock(), every_s=1e9)
    return [f"{what}: {name} {why}" for name, why in _named(presence)]


ROWS: tuple[Row, ...] = (
    Row(
        "wal-gaps",
        "A WAL segment that goes is found and named",
        "each of 100 removed, cut, flipped; ≤ 5 min; no false gap after promotions",
        wal_gaps,
    ),
)
