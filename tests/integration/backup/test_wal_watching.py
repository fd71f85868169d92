"""The watch over a real receiver: gaps named and over, loss told, the slot guarded, WAL shipped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from shippyard.backup.manifest import Made, Manifest, Source, Verification
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.methods import build
from shippyard.backup.wal.receive import Receiver, Settings
from shippyard.backup.wal.server import check_synchronous
from shippyard.backup.wal.ship import WalShip
from shippyard.backup.wal.slot import Disk
from shippyard.backup.wal.standing import WalStanding
from shippyard.backup.wal.watch import WalArrivals, WalWatch, Watched
from shippyard.config.models import ClusterBackup
from shippyard.control.method import Call, MethodError, Peer
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.tools import Tools, server_tools
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually

GB = 1024**3
STREAM = ClusterBackup.model_validate(
    {"wal": "stream", "replication": {"user": "postgres"}, "slot": "watched"}
)


@dataclass
class Away:
    """A place off the machine, in memory."""

    kept: dict[str, bytes] = field(default_factory=dict)
    fails: OffsiteFailed | None = None

    def put_wal(self, subject: str, name: str, file: Path) -> None:
        assert subject == "@main"
        if self.fails:
            raise self.fails
        self.kept[name] = file.read_bytes()

    def wal_source(self, subject: str) -> "Away":
        return self

    def names(self) -> list[str]:
        return list(self.kept)


@dataclass
class Post:
    """A watch and all that it said."""

    watch: WalWatch
    archive: WalArchive
    metrics: Metrics
    bases: list[Manifest]
    ship: WalShip
    away: Away
    told: list[Condition] = field(default_factory=list)

    def look(self) -> None:
        self.watch.turn()

    def said(self, rule: str) -> Condition:
        return [each for each in self.told if each.rule == rule][-1]

    def gauge(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"shippyard_backup_{name}", {"cluster": "main"}
        )


@pytest.fixture(scope="module")
def server(processes: Processes) -> Iterator[tuple[EmbeddedCluster, Tools]]:
    tools = server_tools(processes)
    # Only what a test commits is committed.
    settings = {"max_slot_wal_keep_size": "1GB", "autovacuum": "off"}
    with embedded_cluster(tools, processes, settings) as up:
        yield up, tools


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room, whatever this machine has."""
    monkeypatch.setattr("shippyard.backup.wal.server._disk_of", lambda *_: Disk(50 * GB, 100 * GB))


@pytest.fixture
def post(server: tuple[EmbeddedCluster, Tools], state: State, tmp_path: Path) -> Post:
    archive = WalArchive(tmp_path, "@main")
    archive.prepare()
    metrics, bases, told, away = Metrics(), list[Manifest](), list[Condition](), Away()
    target = server[0].target()
    ship = WalShip("@main", archive, away, every_s=0.01, metrics=metrics, clock=SystemClock())
    watch = WalWatch(
        Watched("main", STREAM, target, target, 0.0),
        archive,
        bases=lambda _: bases,
        state=state,
        metrics=metrics,
        clock=SystemClock(),
        tell=told.append,
        ship=ship,
    )
    return Post(watch, archive, metrics, bases, ship, away, told)


@contextmanager
def receiving(
    server: tuple[EmbeddedCluster, Tools], post: Post, processes: Processes, eventually: Eventually
) -> Iterator[None]:
    receiver = Receiver(
        Settings("main", "watched", create_slot=True),
        server[0].target(),
        post.archive,
        program_for=lambda _: server[1].path("pg_receivewal"),
        processes=processes,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=receiver.run, args=(1,))
    thread.start()
    try:
        eventually(lambda: any(post.archive.receiving.glob("*.partial")))
        yield
    finally:
        receiver.stop()
        thread.join(10)


def execute(cluster: EmbeddedCluster, *statements: str) -> None:
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fill(cluster: EmbeddedCluster, segments: int) -> None:
    for _ in range(segments):
        execute(cluster, "SELECT pg_logical_emit_message(true, 'x', 'y')", "SELECT pg_switch_wal()")


def whole(post: Post) -> list[str]:
    return sorted(name for name in post.archive.kept().entries if len(name) == 24)


def filled(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
    segments: int,
) -> list[str]:
    """So many segments in the archive, by a receiver that has stopped again."""
    with receiving(server, post, processes, eventually):
        fill(server[0], segments)
        eventually(lambda: len(whole(post)) >= segments)
    return whole(post)


def a_base(first: str, finished_at: datetime) -> Manifest:
    return Manifest(
        id=f"base-of-{first}",
        database="@main",
        kind="base",
        reason="manual",
        held_by=None,
        started_at=finished_at,
        finished_at=finished_at,
        duration_s=1.0,
        source=Source("1", "15", "", None, None, 0),
        made=Made("15", 15, ()),
        files=(),
        verification=Verification("x", finished_at, 1.0),
        wal_first=first,
    )


def test_wal_that_never_came_is_missed_whatever_the_size_of_its_segments(post: Post) -> None:
    first = "0000000100000000000002FF"  # of 1 MB each; there is no such name of 16 MB
    base = a_base(first, datetime.now(UTC) - timedelta(hours=1))
    post.bases.append(replace(base, source=replace(base.source, lsn_at_start="0/2FF00028")))
    post.look()
    assert post.gauge("wal_gaps") == 1
    assert post.watch.last is not None
    assert [gap.names(1 << 20) for gap in post.watch.last.report.gaps] == [[first]]


def test_each_kind_of_gap_is_named_mended_or_left_behind(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    names = filled(server, post, processes, eventually, 4)
    post.look()
    assert post.gauge("wal_gaps") == 0
    assert post.gauge("wal_segments") == len(names)
    gone = post.archive.path(names[1]).rename(tmp_path / "gone")
    post.look()
    said = post.said("wal_gap")
    assert f"{names[1]} missing" in str(said.summary)
    assert said.severity == "page"
    assert post.gauge("wal_gaps") == 1
    gone.rename(post.archive.path(names[1]))
    post.look()
    assert post.gauge("wal_gaps") == 0
    assert "missing" not in str(post.said("wal_gap").summary)
    # The newest one is missed, too, and half of one.
    newest = post.archive.path(names[-1])
    newest.write_bytes(newest.read_bytes()[:-9])
    post.look()
    assert f"{names[-1]} short" in str(post.said("wal_gap").summary)
    flipped = bytearray(post.archive.path(names[2]).read_bytes())
    flipped[len(flipped) // 2] ^= 4
    post.archive.path(names[2]).write_bytes(flipped)
    post.look()
    assert f"{names[2]} damaged" in str(post.said("wal_gap").summary)
    assert post.gauge("wal_gaps") == 2
    # A base backup behind all of it, finished later, ends it; it is not told again.
    number = int(names[-1][16:], 16) + 1
    post.bases.append(a_base(f"{names[-1][:16]}{number:08X}", datetime.now(UTC)))
    post.look()
    assert post.gauge("wal_gaps") == 0
    post.look()
    assert post.gauge("wal_gaps") == 0


def test_a_new_base_backup_is_looked_at_before_the_next_scan_is_due(post: Post) -> None:
    post.watch._watched = replace(post.watch._watched, scan_s=1000.0)
    post.look()
    assert post.watch.last is not None
    assert [base.backup_id for base in post.watch.last.bases] == []
    before = post.watch.last
    post.look()
    assert post.watch.last is before
    post.bases.append(a_base("000000010000000000000002", datetime.now(UTC)))
    post.look()
    assert [base.backup_id for base in post.watch.last.bases] == [post.bases[0].id]
    after = post.watch.last
    post.look()
    assert post.watch.last is after


def told_of_gaps(post: Post) -> bool:
    """Look; whether it is known by now how WAL stands."""
    post.look()
    return any(each.rule == "wal_gap" for each in post.told)


def test_nothing_is_lost_while_it_is_received_or_idle(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    arrivals = WalArrivals([post.watch])
    with receiving(server, post, processes, eventually):
        fill(server[0], 1)
        eventually(lambda: whole(post))
        execute(server[0], "CREATE TABLE IF NOT EXISTS t (n int)", "INSERT INTO t VALUES (1)")
        began = datetime.now(UTC)
        eventually(lambda: is_covered(post, arrivals, began))
        execute(server[0], "CHECKPOINT")
        eventually(lambda: told_of_gaps(post))
        until = arrivals.received("@main")
        assert until
        assert post.said("wal_gap").summary is None
    # The receiver is gone: idle still loses nothing, a commit does.
    again = datetime.now(UTC)
    post.look()
    until = arrivals.received("@main")
    assert until
    assert until >= again
    execute(server[0], "INSERT INTO t VALUES (2)")
    post.look()
    assert arrivals.received("@main") == until
    assert "its receiver is not running" in str(post.said("wal_gap").summary)


def test_a_record_that_ends_in_zeros_was_received_whole(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    arrivals = WalArrivals([post.watch])
    zeros = "SELECT pg_logical_emit_message(false, 'x', decode(repeat('00', 99), 'hex'))"
    with receiving(server, post, processes, eventually):
        fill(server[0], 1)
        eventually(lambda: whole(post))
        post.look()
        # Both before the next look: else the commit alone is what was looked at.
        execute(
            server[0], "CREATE TABLE IF NOT EXISTS t (n int)", "INSERT INTO t VALUES (5)", zeros
        )
        began = datetime.now(UTC)
        eventually(lambda: flushed(server[0]))
        eventually(lambda: is_covered(post, arrivals, began))


def flushed(cluster: EmbeddedCluster) -> bool:
    """Whether all that was written is on the server's disk."""
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        question = "SELECT pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn()"
        return connection.execute(question).fetchone() == (True,)


def test_how_it_stands_is_known_before_while_and_after_it_is_received(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    arrivals = WalArrivals([post.watch])
    before = arrivals.standing("@main")
    assert before == WalStanding("not begun")
    with receiving(server, post, processes, eventually):
        fill(server[0], 1)
        eventually(lambda: whole(post))
        during = eventually(lambda: standing(post, "receiving"))
        assert during
        assert during.last_segment == whole(post)[-1]
        assert (during.gaps, during.trouble) == (0, None)
    execute(server[0], "CREATE TABLE IF NOT EXISTS t (n int)", "INSERT INTO t VALUES (4)")
    post.look()
    after = post.watch.standing()
    assert after.state == "stopped"
    assert "its receiver is not running" in str(after.trouble)
    assert arrivals.standing("@other") is None


def standing(post: Post, state: str) -> WalStanding | None:
    """How it stands, once it does so and has said when WAL last came."""
    post.look()
    found = post.watch.standing()
    return found if found.state == state and found.received_until else None


def is_covered(post: Post, arrivals: WalArrivals, since: datetime) -> bool:
    post.look()
    until = arrivals.received("@main")
    return until is not None and until >= since


def test_a_slot_that_fills_the_disk_is_dropped_declared_and_paged(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = filled(server, post, processes, eventually, 2)
    fill(server[0], 10)
    post.look()
    assert (post.gauge("wal_slot_retained_bytes") or 0) > 9 * 16 * 1024 * 1024
    assert post.said("wal_slot").summary is None
    monkeypatch.setattr("shippyard.backup.wal.server._disk_of", lambda *_: Disk(GB, 100 * GB))
    post.look()
    said = post.said("wal_slot")
    assert said.severity == "page"
    assert "the slot is dropped" in str(said.summary)
    following = f"{names[-1][:16]}{int(names[-1][16:], 16) + 1:08X}"
    assert f"{following} lost with the slot" in str(post.said("wal_gap").summary)
    post.look()
    assert "is gone" in str(post.said("wal_slot").summary)


def test_an_unlimited_slot_is_a_ticket_with_what_to_run(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    reload = "SELECT pg_reload_conf()"
    with receiving(server, post, processes, eventually):
        execute(server[0], "ALTER SYSTEM SET max_slot_wal_keep_size = -1", reload)
        try:
            eventually(lambda: looked(post, "wal_slot"))
        finally:
            execute(server[0], "ALTER SYSTEM RESET max_slot_wal_keep_size", reload)
    said = post.said("wal_slot")
    assert said.severity == "ticket"
    assert "ALTER SYSTEM SET max_slot_wal_keep_size" in str(said.summary)


def looked(post: Post, rule: str) -> str | None:
    post.look()
    return post.said(rule).summary


def test_whole_segments_and_what_was_begun_are_shipped(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    with receiving(server, post, processes, eventually):
        fill(server[0], 2)
        eventually(lambda: len(whole(post)) >= 2)
        execute(server[0], "CREATE TABLE IF NOT EXISTS t (n int)", "INSERT INTO t VALUES (3)")
        began = datetime.now(UTC)
        eventually(lambda: shipped(post) >= began)
        assert set(whole(post)) <= set(post.away.kept)
        assert [name for name in post.away.kept if name.endswith(".partial")]
        post.away.fails = OffsiteFailed("the store is away")
        count = len(whole(post))
        fill(server[0], 1)
        eventually(lambda: len(whole(post)) > count)
        post.ship.turn()
        post.look()
        assert "the store is away" in str(post.said("wal_gap").summary)
        post.away.fails = None
        execute(server[0], "INSERT INTO t VALUES (4)")
        began = datetime.now(UTC)
        eventually(lambda: shipped(post) >= began)
        assert post.said("wal_gap").summary is None
    assert post.gauge("offsite_wal_shipped_timestamp_seconds")


def shipped(post: Post) -> datetime:
    post.ship.turn()
    post.look()
    return post.watch.shipped_until() or datetime.min.replace(tzinfo=UTC)


def test_one_segment_that_may_not_go_keeps_none_of_the_others(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    names = filled(server, post, processes, eventually, 3)
    put = post.away.put_wal

    def refuse_one(subject: str, name: str, file: Path) -> None:
        if name == names[1]:
            raise OffsiteFailed("another content has that name", lasting=True)
        put(subject, name, file)

    post.away.put_wal = refuse_one  # type: ignore[method-assign]  # a store with one bad name
    post.ship.turn()
    assert set(names) - post.away.kept.keys() == {names[1]}
    assert names[1] in str(post.ship.trouble().line)


def test_the_timeline_is_answered(
    server: tuple[EmbeddedCluster, Tools],
    post: Post,
    processes: Processes,
    eventually: Eventually,
) -> None:
    names = filled(server, post, processes, eventually, 3)
    (method,) = build([post.watch])
    call = Call({"subject": "main"}, Peer(0, "x", frozenset({"viewer"})), None)  # type: ignore[arg-type]  # no stream
    (empty,) = method.run(call)["clusters"]
    assert empty["scanned_at"] is None
    post.bases.append(a_base(names[0], datetime.now(UTC)))
    post.archive.path(names[1]).unlink()
    post.look()
    (drawn,) = method.run(call)["clusters"]
    assert [hole["segments"] for hole in drawn["holes"]] == [[names[1]]]
    assert drawn["ranges"][0]["bases"] == [f"base-of-{names[0]}"]
    with pytest.raises(MethodError, match="@main"):
        method.run(replace(call, params={"subject": "nobody"}))


def test_a_watch_stops_whenever_it_is_told(post: Post) -> None:
    post.watch.stop()
    post.ship.stop()
    post.watch.start()
    post.ship.start()
    for _ in range(2):
        post.watch.stop()
        post.ship.stop()
    post.watch.forget()
    assert post.gauge("wal_gaps") is None


def test_loss_zero_is_checked_on_the_server(server: tuple[EmbeddedCluster, Tools]) -> None:
    lines = check_synchronous(server[0].target(), ours="watched", second="elsewhere")
    assert any("does not list watched" in line.text for line in lines if not line.ok)
