"""The receiver on a real server: everything kept, nothing skipped in silence, one at a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from shippyard.backup.lock import Busy
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.names import format_lsn, parse_lsn
from shippyard.backup.wal.position import received
from shippyard.backup.wal.receive import Receiver, Settings
from shippyard.backup.wal.status import read_status
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.replication import replication_session
from shippyard.postgres.tools import Tools, installed_tools
from tests.conftest import Eventually

MB = 1024 * 1024


@pytest.fixture(scope="module", params=["oldest", "newest"])
def server(
    request: pytest.FixtureRequest, processes: Processes
) -> Iterator[tuple[EmbeddedCluster, Tools]]:
    found = sorted(installed_tools(processes, program="initdb"), key=lambda tools: tools.major)
    tools = found[0] if request.param == "oldest" else found[-1]
    with embedded_cluster(tools, processes, {"wal_keep_size": "0", "max_wal_size": "64MB"}) as up:
        yield up, tools


@pytest.fixture
def archive(tmp_path: Path) -> WalArchive:
    return WalArchive(tmp_path, "@main")


def execute(cluster: EmbeddedCluster, *statements: str) -> str:
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def fill(cluster: EmbeddedCluster, segments: int) -> str:
    """Write some WAL and switch, so many times; gives the end of it."""
    for _ in range(segments):
        execute(cluster, "SELECT pg_logical_emit_message(true, 'x', 'y')", "SELECT pg_switch_wal()")
    return execute(cluster, "SELECT pg_current_wal_lsn()")


@contextmanager
def receiving(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    *,
    slot: str,
    create_slot: bool = True,
) -> Iterator[Receiver]:
    cluster, tools = server
    receiver = Receiver(
        Settings("main", slot, create_slot),
        cluster.target(),
        archive,
        program_for=lambda _: tools.path("pg_receivewal"),
        processes=processes,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=receiver.run, args=(1,))
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while state_of(archive) in ("nothing said", "stopped") and time.monotonic() < deadline:
            time.sleep(0.02)
        yield receiver
    finally:
        receiver.stop()
        thread.join(10)
        assert not thread.is_alive()


def state_of(archive: WalArchive) -> str:
    status = read_status(archive.folder)
    return status.state if status else "nothing said"


def whole(archive: WalArchive) -> list[str]:
    return sorted(name for name in archive.kept().entries if len(name) == 24)


def test_everything_is_kept_and_the_open_end_is_known(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    cluster, _ = server
    with receiving(server, archive, processes, slot="everything"):
        eventually(lambda: state_of(archive) == "streaming")
        fill(cluster, 3)
        execute(cluster, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
        flushed = parse_lsn(execute(cluster, "SELECT pg_current_wal_flush_lsn()"))
        eventually(lambda: len(whole(archive)) >= 3)
        eventually(lambda: _received(archive) >= flushed)
        assert archive.kept().identity is not None
    assert state_of(archive) == "stopped"
    for name in whole(archive):
        assert archive.problem(name) is None
        assert archive.fetch(name, tmp_path / name)
        original = cluster.data_dir / "pg_wal" / name
        if original.exists():
            assert (tmp_path / name).read_bytes() == original.read_bytes()
    # The unfinished one is given under its full name.
    newest = archive.segments()[-1]
    assert newest not in whole(archive)
    assert archive.fetch(newest, tmp_path / "newest")
    assert (tmp_path / "newest").stat().st_size == 16 * MB


def test_a_restart_goes_on_where_it_stopped(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    eventually: Eventually,
) -> None:
    cluster, _ = server
    with receiving(server, archive, processes, slot="restart"):
        fill(cluster, 2)
        eventually(lambda: len(whole(archive)) >= 2)
    before = whole(archive)
    fill(cluster, 3)
    with receiving(server, archive, processes, slot="restart", create_slot=False):
        eventually(lambda: len(whole(archive)) >= len(before) + 3)
    numbers = [int(name[16:], 16) for name in whole(archive)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert archive.kept().lost == ()


def test_a_recreated_slot_without_loss_is_no_gap_and_with_loss_is_declared(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    eventually: Eventually,
) -> None:
    cluster, _ = server
    with receiving(server, archive, processes, slot="again"):
        fill(cluster, 2)
        eventually(lambda: len(whole(archive)) >= 2)
    drop_slot(cluster, "again")
    fill(cluster, 1)
    count = len(whole(archive))
    with receiving(server, archive, processes, slot="again"):
        eventually(lambda: len(whole(archive)) > count)
    assert archive.kept().lost == ()
    last = whole(archive)[-1]
    execute(cluster, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    # Without a slot the server recycles what was written before its checkpoints.
    fill(cluster, 4)
    execute(cluster, "CHECKPOINT")
    fill(cluster, 4)
    execute(cluster, "CHECKPOINT")
    with receiving(server, archive, processes, slot="again"):
        eventually(lambda: archive.kept().lost)
        fill(cluster, 1)
        eventually(lambda: whole(archive)[-1] > archive.kept().lost[0].last)
    (lost,) = archive.kept().lost
    assert int(lost.first[16:], 16) == int(last[16:], 16) + 1
    onward = [name for name in whole(archive) if name > last]
    assert int(onward[0][16:], 16) == int(lost.last[16:], 16) + 1


def test_without_its_slot_it_says_what_to_run(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    eventually: Eventually,
) -> None:
    with receiving(server, archive, processes, slot="absent", create_slot=False):
        eventually(lambda: state_of(archive) == "refused")
        status = read_status(archive.folder)
        assert status is not None
        assert status.error == (
            "slot absent does not exist; run: shippyard wal receive main --create-slot"
        )


def test_there_is_one_receiver(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    eventually: Eventually,
) -> None:
    with receiving(server, archive, processes, slot="one") as first:
        eventually(lambda: state_of(archive) == "streaming")
        with pytest.raises(Busy, match="receiving @main"):
            first.run(2)


def test_another_server_is_refused(
    server: tuple[EmbeddedCluster, Tools],
    archive: WalArchive,
    processes: Processes,
    cluster: EmbeddedCluster,
    eventually: Eventually,
) -> None:
    with receiving(server, archive, processes, slot="other"):
        fill(server[0], 1)
        eventually(lambda: whole(archive))
    with receiving((cluster, server[1]), archive, processes, slot="other"):
        eventually(lambda: state_of(archive) == "refused")
        status = read_status(archive.folder)
        assert status is not None
        assert "system identifier" in (status.error or "")


def test_what_the_server_can_stream(server: tuple[EmbeddedCluster, Tools]) -> None:
    cluster, _ = server
    flushed = parse_lsn(execute(cluster, "SELECT pg_current_wal_flush_lsn() - 24"))
    with replication_session(cluster.target(), "test") as session:
        assert session.segment_bytes() == 16 * MB
        assert session.slot("nobody") is None
        assert session.can_stream(format_lsn(flushed), 1)
    with replication_session(cluster.target(), "test") as session:
        assert not session.can_stream("0/100000", 1)


def drop_slot(cluster: EmbeddedCluster, slot: str) -> None:
    with replication_session(cluster.target(), "test") as session:
        session.drop_slot(slot)


def _received(archive: WalArchive) -> int:
    found = received(archive.receiving, 16 * MB)
    return found.lsn if found else 0
