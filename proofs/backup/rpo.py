"""Row about what is lost: a server killed under writes, its files deleted, restored, read.

A canary writes as fast as commits go, and notes when each was confirmed. What is lost is the time
from the last row that came back to the kill. For the loss of the machine every local backup goes,
too, and what was shipped to a folder is all there is.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from proofs.backup.walyard import DURABLE, MAIN, WalYard, connected, kill, walyard
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.backup.offsite.offsite import Offsite, open_offsite
from shippyard.backup.wal.push import push
from shippyard.backup.wal.ship import WalShip
from shippyard.backup.wal.spool import Spool
from shippyard.config.models import Offsite as OffsiteSettings
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.telemetry.metrics import Metrics

STREAMED_GOAL_S = 0.1
ARCHIVE_SLACK_S = 15.0
MACHINE_SLACK_S = 5.0
WRITES_S = 2.0
P99 = 0.99
TOGETHER = 3
BEFORE_S = 1.5
SLOW_S = 0.005
"""Between commits where a whole segment, which goes at once, would hide the wait."""


def rpo(context: Context) -> Outcome:
    """Three ways to lose a server, measured by the canary that comes back."""
    streamed = [_streamed(context, n) for n in range(context.count(full=20, quick=2))]
    worst_s = sorted(streamed)[min(len(streamed) - 1, int(P99 * len(streamed)))]
    context.say(f"streamed: {worst_s * 1000:.0f} ms")
    timeout_s = context.count(full=60, quick=4)
    every = [2.0] if context.quick else [5.0, 5.0, 60.0]
    # These mostly wait.
    with ThreadPoolExecutor(TOGETHER) as pool:
        ships = [pool.submit(_machine, context, n, each) for n, each in enumerate(every)]
        switches = [
            pool.submit(_archived, context, n, timeout_s)
            for n in range(context.count(full=2, quick=1))
        ]
        machine = [(each, ship.result()) for each, ship in zip(every, ships, strict=True)]
        archived = [switch.result() for switch in switches]
    ok = (
        worst_s <= STREAMED_GOAL_S
        and max(archived) <= timeout_s + ARCHIVE_SLACK_S
        and all(lost_s <= each + MACHINE_SLACK_S for each, lost_s in machine)
    )
    said = ", ".join(f"{lost_s:.1f} s at wal_ship_s {each:.0f}" for each, lost_s in machine)
    return Outcome(
        f"streamed p99 {worst_s * 1000:.0f} ms (N={len(streamed)}); archive mode "
        f"{max(archived):.1f} s at archive_timeout {timeout_s} (N={len(archived)}); machine {said}",
        ok=ok,
        note="archive mode and machine are killed just before the next switch or shipment",
    )


@dataclass
class Writer:
    """Commits rows and notes when each was confirmed, until the server dies."""

    cluster: EmbeddedCluster
    pause_s: float = 0.0
    confirmed: dict[int, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """In a thread."""
        with suppress(psycopg.Error), connected(self.cluster) as connection:
            number = 0
            while not self.stop.wait(self.pause_s) if self.pause_s else not self.stop.is_set():
                number += 1
                connection.execute("INSERT INTO canary VALUES (%s, clock_timestamp())", [number])
                self.confirmed[number] = time.monotonic()

    def lost_s(self, last: int, killed_at: float) -> float:
        """Seconds from the last row that came back to the kill, or to the last one confirmed."""
        ended = max(killed_at, *self.confirmed.values())
        return ended - self.confirmed.get(last, ended)


def _streamed(context: Context, number: int) -> float:
    with walyard(context.folder / f"streamed-{number}") as yard, yard.server("server") as server:
        config = yard.configure(server)
        with yard.receiver(server):
            base = yard.base(server, config)
            with _writing(server) as writer:
                time.sleep(WRITES_S)
                killed_at = _die(server, writer)
        with yard.restored(base, yard.archive) as back:
            return writer.lost_s(_last(back, writer), killed_at)


def _archived(context: Context, number: int, timeout_s: int) -> float:
    """WAL comes by archive_command; the server's account is allowed to run nothing of ours here.

    So the command copies to a folder, and what `shippyard wal push` does is done from there.
    """
    folder = context.folder / f"archived-{number}"
    spool = folder / "spool"
    with walyard(folder, wal="archive", spool=str(spool)) as yard:
        handed = folder / "handed"
        for each in (spool, handed):
            each.mkdir()
        handed.chmod(0o777)
        settings = {
            **DURABLE,
            "archive_mode": "on",
            "archive_timeout": str(timeout_s),
            "archive_command": f"cp %p {handed}/.%f && mv {handed}/.%f {handed}/%f",
        }
        with yard.server("server", settings) as server:
            config = yard.configure(server)
            yard.archive.prepare()
            with _pushing(yard, handed, spool), _writing(server, SLOW_S) as writer:
                base = yard.base(server, config)
                count = len(yard.whole())
                until(lambda: len(yard.whole()) > count, timeout_s + 30, "a switch")
                time.sleep(max(0.0, timeout_s - 1.0))
                killed_at = _die(server, writer)
            with yard.restored(base, yard.archive) as back:
                return writer.lost_s(_last(back, writer), killed_at)


def _machine(context: Context, number: int, every_s: float) -> float:
    with walyard(context.folder / f"machine-{number}") as yard, yard.server("server") as server:
        config = yard.configure(server)
        away = context.folder / f"away-{number}"
        away.mkdir()
        offsite = open_offsite(OffsiteSettings(url=str(away)), yard.seal, yard.clock)
        with yard.receiver(server):
            base = yard.base(server, config)
            offsite.send(*base)
            with _shipping(yard, offsite, every_s) as ship, _writing(server, SLOW_S) as writer:
                first = until(ship.position, every_s + 30, "something shipped") or 0
                until(lambda: (ship.position() or 0) > first, every_s + 30, "another shipment")
                time.sleep(max(0.0, every_s - BEFORE_S))
                # The machine goes as a whole: nothing is shipped after its server died.
                ship.stop()
                killed_at = _die(server, writer)
        shutil.rmtree(yard.backups)
        fetched = offsite.fetch(base[1].id, context.folder / f"fetched-{number}")
        with yard.restored((fetched, base[1]), offsite.wal_source(MAIN)) as back:
            return writer.lost_s(_last(back, writer), killed_at)


def _die(server: EmbeddedCluster, writer: Writer) -> float:
    """When the server was killed; its files are gone."""
    killed_at = time.monotonic()
    kill(server)
    writer.stop.set()
    return killed_at


def _last(back: EmbeddedCluster, writer: Writer) -> int:
    """The newest row that came back, none missing before it."""
    with connected(back) as connection:
        row = connection.execute("SELECT coalesce(max(n), 0), count(*) FROM canary").fetchone()
    assert row is not None, "no answer"
    newest, count = row
    assert newest == count, f"{newest - count} rows are missing before the last one"
    assert newest > 0, "no row came back"
    assert newest <= len(writer.confirmed) + 1, "rows came back that were never written"
    return int(newest)


@contextmanager
def _writing(server: EmbeddedCluster, pause_s: float = 0.0) -> Iterator[Writer]:
    with connected(server) as connection:
        connection.execute("CREATE TABLE canary (n bigint, at timestamptz)")
    writer = Writer(server, pause_s)
    thread = threading.Thread(target=writer.run, daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        thread.join(10)


@contextmanager
def _shipping(yard: WalYard, offsite: Offsite, every_s: float) -> Iterator[WalShip]:
    ship = WalShip(
        MAIN, yard.archive, offsite, every_s=every_s, metrics=Metrics(), clock=yard.clock
    )
    ship.start()
    try:
        yield ship
    finally:
        ship.stop()


@contextmanager
def _pushing(yard: WalYard, handed: Path, spool: Path) -> Iterator[None]:
    """Push what the server handed over, and take it into the archive, as it comes."""
    stop = threading.Event()
    taking = Spool(spool, yard.archive, yard.clock)

    def run() -> None:
        while not stop.wait(0.1):
            for path in sorted(each for each in handed.iterdir() if each.name[0] != "."):
                push(path, spool)
                path.unlink()
            taking.drain(stop.is_set)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


ROWS: tuple[Row, ...] = (
    Row(
        "rpo",
        "What is lost when a server, or its whole machine, is",
        "streamed p99 ≤ 100 ms; archive mode ≤ 75 s; machine ≤ wal_ship_s + 5 s",
        rpo,
        alone=True,
    ),
)
