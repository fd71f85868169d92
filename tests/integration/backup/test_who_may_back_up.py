"""Who may make a backup: locks on disk and on the server, turns, and what their loss means."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from shippyard.backup.lock import exclusive
from shippyard.backup.model import BackupFailed, Kind
from shippyard.backup.schedule import jobs
from shippyard.backup.turns import BackupBusy, MigrationRuns
from shippyard.postgres.locks import MIGRATION_KEY, LockTaken, backup_key, locks
from shippyard.postgres.target import Target
from tests.conftest import Eventually
from tests.integration.backup.conftest import MakeYard, Yard
from tests.integration.backup.engine_by_hand import ByHand


@contextmanager
def under_way(yard: Yard, engine: ByHand, kind: Kind = "dump") -> Iterator[list[str]]:
    """A backup that has begun and waits for the end of the block; the list gets how it ended."""
    ended: list[str] = []

    def work() -> None:
        try:
            ended.append(yard.service.run("shop", kind, "manual").state)
        except BackupFailed as error:
            ended.append(str(error))

    engine.go_on.clear()
    engine.begun.clear()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert engine.begun.wait(10)
        yield ended
    finally:
        engine.go_on.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def engine() -> ByHand:
    return ByHand()


@pytest.fixture
def hand(make_yard: MakeYard, engine: ByHand) -> Yard:
    return make_yard(with_engines=engine)


def test_every_file_is_closed_to_others_and_in_the_manifest(hand: Yard) -> None:
    backup = hand.service.run("shop", "dump", "manual")
    folder = hand.service.folder_of(backup.id)
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert (folder / "data" / "1.dat").stat().st_mode & 0o777 == 0o600
    manifest = hand.service.manifest_of(backup.id)
    assert [file.name for file in manifest.files] == ["data/1.dat"]
    assert manifest.cluster == "main"


def flip(file: Path) -> None:
    file.write_bytes(b"ALL" + file.read_bytes()[3:])


@pytest.mark.parametrize("spoil", [flip, Path.unlink])
def test_what_reads_back_otherwise_than_it_was_written_is_not_published(
    make_yard: MakeYard, spoil: Callable[[Path], None]
) -> None:
    yard = make_yard(with_engines=ByHand(spoil=spoil))
    with pytest.raises(BackupFailed, match=r"data/1.dat: what was read back is not what was"):
        yard.service.run("shop", "dump", "manual")
    assert yard.visible() == []


def test_what_the_engine_can_not_decode_is_not_published(make_yard: MakeYard) -> None:
    yard = make_yard(with_engines=ByHand(problems=["it is half"]))
    with pytest.raises(BackupFailed, match="it is half"):
        yard.service.run("shop", "dump", "manual")
    assert yard.visible() == []


def test_what_the_engine_expects_must_fit(make_yard: MakeYard) -> None:
    yard = make_yard(with_engines=ByHand(expected_bytes=1 << 60))
    with pytest.raises(BackupFailed, match=f"bytes free in .* {1 << 60} needed"):
        yard.service.run("shop", "dump", "manual")


def test_another_host_that_makes_one_is_named_and_waited_for(
    hand: Yard, fresh_database: Target
) -> None:
    with locks(fresh_database, "backup-lock:20260101T000000Z-dump-abcdef") as elsewhere:
        elsewhere.take(backup_key("shop", "dump"))
        with pytest.raises(BackupBusy, match=r"made already .*20260101T000000Z-dump-abcdef"):
            hand.service.run("shop", "dump", "manual")
        assert hand.service.run("shop", "schema", "manual").counts
    assert [b.kind for b in hand.service.history()] == ["schema"]
    assert hand.service.run("shop", "dump", "manual").counts


def test_no_dump_while_a_migration_runs_and_the_other_way_round(
    hand: Yard, engine: ByHand, fresh_database: Target
) -> None:
    with locks(fresh_database, "migrate-lock:r1") as runner:
        runner.take(MIGRATION_KEY)
        for kind in ("dump", "schema"):
            with pytest.raises(MigrationRuns, match=r"a migration of shop runs .*migrate-lock:r1"):
                hand.service.run("shop", kind, "manual")
        assert not hand.service.history()
        assert not hand.told
    with under_way(hand, engine), locks(fresh_database, "migrate-lock:r2") as runner:
        with pytest.raises(LockTaken, match="backup-lock:"):
            runner.take(MIGRATION_KEY)


def test_a_base_backup_goes_on_beside_a_migration(
    make_yard: MakeYard, engine: ByHand, fresh_database: Target
) -> None:
    yard = make_yard(with_engines=engine, clusters={"main": {}})
    with locks(fresh_database, "migrate-lock:r1") as runner:
        runner.take(MIGRATION_KEY)
        backup = yard.service.run("@main", "base", "manual")
    assert (backup.database, backup.kind, backup.counts) == ("@main", "base", True)
    assert yard.service.folder_of(backup.id).parent == yard.root / "@main"
    with pytest.raises(BackupFailed, match="shop has dump and schema backups only"):
        yard.service.run("shop", "base", "manual")
    with pytest.raises(BackupFailed, match="@main has base backups only"):
        yard.service.run("@main", "dump", "manual")


def test_an_incremental_goes_on_from_the_newest_and_its_chain_is_known(
    make_yard: MakeYard, engine: ByHand
) -> None:
    yard = make_yard(with_engines=engine, clusters={"main": {}})
    full = yard.service.run("@main", "base", "manual", incremental=True)
    assert engine.parents == [None]
    engine.parent = full.id
    yard.clock.advance(60)
    more = yard.service.run("@main", "base", "manual", incremental=True)
    gone_on_from = engine.parents[1]
    assert gone_on_from is not None
    folder, manifest = gone_on_from
    assert (folder, manifest.id) == (yard.service.folder_of(full.id), full.id)
    assert yard.service.find(more.id).parent == full.id
    assert [each.id for each in yard.service.chain_of(more.id)] == [full.id, more.id]
    (folder / "manifest.json").unlink()
    with pytest.raises(BackupFailed, match=f"{full.id} can't be relied on"):
        yard.service.chain_of(more.id)


def test_a_scheduled_dump_waits_for_a_migration(
    hand: Yard, fresh_database: Target, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("shippyard.backup.schedule.MIGRATION_PAUSE_S", 0.02)
    job = next(j for j in jobs(hand.service, hand.config) if j.name == "backup.dump.shop")
    said: list[str] = []
    with locks(fresh_database, "migrate-lock:r1") as runner:
        runner.take(MIGRATION_KEY)
        thread = threading.Thread(target=lambda: said.append(job.run()))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert said == [f"{hand.service.history()[0].id}, 9 bytes"]


def test_a_stop_ends_the_wait_for_a_migration(hand: Yard, fresh_database: Target) -> None:
    job = next(j for j in jobs(hand.service, hand.config) if j.name == "backup.dump.shop")
    hand.service.stop()
    with locks(fresh_database, "migrate-lock:r1") as runner:
        runner.take(MIGRATION_KEY)
        with pytest.raises(BackupFailed, match="a migration of shop ran all the while"):
            job.run()


def test_losing_the_lock_in_the_middle_fails_the_attempt(
    hand: Yard, engine: ByHand, fresh_database: Target, eventually: Eventually
) -> None:
    with under_way(hand, engine) as ended:
        assert list(hand.service.running().values()) == ["running"]
        with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as admin:
            gone = admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE starts_with(application_name, 'shippyard:backup-lock:') AND datname = %s",
                [fresh_database.dbname],
            ).fetchall()
        assert gone == [(True,)]
        eventually(lambda: ended)
    assert "the session that held the backup's lock has ended" in ended[0]
    assert hand.visible() == []
    assert hand.service.history()[0].state == "failed"


def test_one_heavy_artifact_of_a_server_at_a_time(
    make_yard: MakeYard, engine: ByHand, eventually: Eventually
) -> None:
    yard = make_yard(with_engines=engine, clusters={"main": {}})
    said: list[str] = []
    with under_way(yard, engine):
        other = make_yard(with_engines=ByHand(), clusters={"main": {}})
        assert other.service.run("shop", "schema", "manual").counts
        second = threading.Thread(
            target=lambda: other.service.run(
                "@main", "base", "manual", progress=lambda f: said.append(f["phase"])
            )
        )
        second.start()
        eventually(lambda: "queued" in said)
        assert "running" not in said
        with pytest.raises(BackupBusy):
            other.service.run("@main", "base", "manual")
    second.join(10)
    assert said[-1] == "manifested"


def test_who_looks_for_leftovers_is_waited_for(hand: Yard) -> None:
    hand.service.run("shop", "schema", "manual")
    said: list[str] = []
    with exclusive(hand.root / "shop" / ".dump.lock", "housekeeping"):
        thread = threading.Thread(
            target=lambda: said.append(hand.service.run("shop", "dump", "manual").state)
        )
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert said == ["published"]
