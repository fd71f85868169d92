"""Crashes at every awkward moment, and what the next start makes of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.manifest import Manifest
from shippyard.backup.model import Backup, BackupFailed, new_id
from shippyard.postgres.target import Target
from shippyard.state.database import open_state
from shippyard.state.tables import backups
from tests.conftest import Eventually
from tests.integration.backup.conftest import MakeYard, Yard, execute

CHILD = """
import sys
from pathlib import Path
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.state.database import open_state
from shippyard.telemetry.metrics import Metrics

config = Config.model_validate_json(Path(sys.argv[1]).read_text())
shop = config.databases[0]
target = Target(sys.argv[2], 5432, shop.dbname, shop.backup.user)
with open_state(Path(sys.argv[3])) as state:
    BackupService(config, {"shop": target}, processes=Processes(), state=state, metrics=Metrics(),
                  clock=SystemClock()).run("shop", "dump", "schedule")
"""


def dumps_running(target: Target) -> list[int]:
    """Processes of pg_dump that work on this test's database."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"pg_dump" in arguments and target.dbname.encode() in arguments:
            found.append(int(folder.name))
    return found


def partial_size(root: Path) -> int:
    return sum(file.stat().st_size for file in root.glob("shop/.*.partial/shop.dump*"))


def kill_in_the_middle_of_a_dump(yard: Yard, state_dir: Path, eventually: Eventually) -> None:
    """A daemon's process, killed while its pg_dump writes."""
    file = state_dir.with_name("config.json")
    file.write_text(yard.config.model_dump_json(by_alias=True))
    arguments = [str(file), yard.target.host, str(state_dir)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], start_new_session=True)
    try:
        eventually(lambda: partial_size(yard.root) > 50_000, timeout_s=30)
        assert dumps_running(yard.target)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


def test_a_daemon_killed_in_the_middle_of_a_dump_leaves_nothing_that_counts(
    make_yard: MakeYard, fresh_database: Target, eventually: Eventually, tmp_path: Path
) -> None:
    execute(
        fresh_database,
        "CREATE TABLE big AS SELECT n, md5(n::text) || md5((n + 1)::text) AS x"
        " FROM generate_series(1, 250000) n",
    )
    before = make_yard().service.run("shop", "schema", "manual")
    kill_in_the_middle_of_a_dump(make_yard(), tmp_path / "killed", eventually)
    eventually(lambda: dumps_running(fresh_database) == [])

    with open_state(tmp_path / "killed") as left_behind:
        yard = make_yard(with_state=left_behind)
        killed = yard.service.history()[0]
        assert killed.state == "running"
        assert yard.service.newest("shop") is None
        done = yard.service.recover()
        assert done.failed == done.swept == (killed.id,)
        assert done.adopted == (before.id,)  # this daemon had not known of it
        error = yard.service.find(killed.id).error
        assert error == "the daemon died while it was running"
        assert yard.visible() == [before.id]
        assert [p.name for p in (yard.root / "shop").glob("*.partial")] == []
        assert yard.gauge("published") == 0
        assert yard.gauge("last_success_timestamp_seconds") is None
        assert yard.gauge("published", "schema") == 1
        assert yard.service.recover().failed == ()
        assert yard.service.run("shop", "dump", "schedule").counts


@pytest.fixture
def unrecorded(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Backup:
    """A backup whose daemon could not write its last word."""
    move = Catalog.move

    def fail_at_the_end(
        self: Catalog, before: Backup, after: Backup, manifest: Manifest | None = None
    ) -> Backup:
        if after.state == "published":
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))
        return move(self, before, after, manifest)

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "move", fail_at_the_end)
        with pytest.raises(BackupFailed, match="whole on disk but could not be recorded"):
            yard.service.run("shop", "dump", "pre_migration", held_by="run-1")
    return yard.service.history()[0]


def test_published_but_unrecorded_is_taken_in(yard: Yard, unrecorded: Backup) -> None:
    assert unrecorded.state == "manifested"
    assert yard.service.newest("shop") is None
    assert yard.service.recover().adopted == (unrecorded.id,)
    newest = yard.service.newest("shop")
    assert newest is not None
    assert newest.id == unrecorded.id
    assert yard.service.find(unrecorded.id).held_by == "run-1"
    assert yard.service.verify(unrecorded.id).ok
    assert yard.gauge("published") == 1
    assert yard.service.recover().adopted == ()


def test_manifests_are_believed_when_the_state_is_lost(yard: Yard) -> None:
    backup = yard.service.run("shop", "dump", "pre_migration", held_by="run-1")
    manifest = yard.service.manifest(backup.id)
    with yard.state.write() as connection:
        connection.execute(delete(backups))
    assert yard.service.recover().adopted == (backup.id,)
    assert yard.service.find(backup.id) == backup
    assert yard.service.manifest(backup.id) == manifest


@pytest.mark.parametrize("what", ["no manifest", "garbage", "another id", "short"])
def test_a_folder_that_does_not_prove_itself_is_left_out(yard: Yard, what: str) -> None:
    backup = yard.service.run("shop", "dump", "manual")
    manifest = yard.service.path(backup) / "manifest.json"
    if what == "no manifest":
        manifest.unlink()
    elif what == "garbage":
        manifest.write_bytes(b"{}")
    elif what == "another id":
        manifest.write_text(
            manifest.read_text().replace(backup.id, new_id("dump", yard.clock.now()))
        )
    else:
        yard.file(backup.id).write_bytes(b"PGDMP")
    with yard.state.write() as connection:
        connection.execute(delete(backups))
    assert yard.service.recover().adopted == ()
    assert yard.service.history() == []
    assert yard.service.path(backup).is_dir()


def test_what_another_process_makes_is_left_alone(yard: Yard) -> None:
    layout = Layout(yard.root)
    layout.prepare("shop")
    busy = Backup(
        new_id("dump", yard.clock.now()), "shop", "dump", "running", "manual", yard.clock.now()
    )
    Catalog(yard.state).add(busy)
    layout.open_partial("shop", busy.id)
    with exclusive(layout.lock("shop", "dump"), busy.id):
        done = yard.service.recover()
    assert (done.failed, done.swept) == ((), ())
    done = yard.service.recover()
    assert done.failed == done.swept == (busy.id,)


KEEP_ONE = {"days": 1, "daily": 0, "weekly": 0, "monthly": 0, "at_least": 1}


@pytest.fixture
def aged(make_yard: MakeYard) -> tuple[Yard, list[str]]:
    """Three dumps, ten days apart, of which retention wants the newest only."""
    yard = make_yard(keep=KEEP_ONE)
    ids = []
    for _ in range(3):
        yard.clock.advance(10 * 86400)
        ids.append(yard.service.run("shop", "dump", "schedule").id)
    return yard, ids


def test_prune_shows_first_and_deletes_when_told(aged: tuple[Yard, list[str]]) -> None:
    yard, ids = aged
    shown = yard.service.prune(apply=False)
    assert [(d.id, d.keep) for d in shown.decisions] == [
        (ids[2], True),
        (ids[1], False),
        (ids[0], False),
    ]
    assert shown.deleted == ()
    assert yard.visible() == ids
    assert sorted(yard.service.prune(apply=True).deleted) == ids[:2]
    assert yard.visible() == ids[2:]
    assert [b.state for b in yard.service.history()] == ["published", "deleted", "deleted"]
    assert yard.gauge("published") == 1
    assert yard.gauge("deleted_total") == 2
    assert yard.service.prune(apply=True).deleted == ()


def test_a_prune_cut_short_is_finished_at_the_next_start(
    aged: tuple[Yard, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    yard, ids = aged
    with monkeypatch.context() as patched:
        patched.setattr(Layout, "remove", _refuse)
        with pytest.raises(BackupFailed, match=r"can't delete: .*Input/output error"):
            yard.service.prune(apply=True)
    assert yard.visible() == ids
    assert [b.state for b in yard.service.history()] == ["published", "expired", "expired"]
    assert yard.gauge("published") == 1
    assert sorted(yard.service.recover().deleted) == ids[:2]
    assert yard.visible() == ids[2:]


def _refuse(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_nothing_is_pruned_when_the_newest_turns_out_to_be_gone(
    aged: tuple[Yard, list[str]],
) -> None:
    yard, ids = aged
    yard.file(ids[2]).unlink()
    assert yard.service.prune(apply=True).deleted == ()
    assert yard.visible() == ids


def test_retention_takes_what_is_released_and_keeps_what_is_held(make_yard: MakeYard) -> None:
    yard = make_yard(keep=KEEP_ONE)
    taken = {}
    for run in ("run-1", "run-2", "run-3"):
        yard.clock.advance(10 * 86400)
        taken[run] = yard.service.take("shop", held_by=run, progress=lambda _: None).id
    yard.service.release("shop", held_by="run-2")
    yard.service.release("another", held_by="run-1")
    assert yard.service.prune(apply=True).deleted == (taken["run-2"],)
    yard.service.release_earlier("another", than="run-3")
    assert yard.service.prune(apply=True).deleted == ()
    yard.service.release_earlier("shop", than="run-3")
    assert yard.service.find(taken["run-3"]).held_by == "run-3"
    assert yard.service.prune(apply=True).deleted == (taken["run-1"],)


def test_a_released_backup_that_was_not_recorded_is_taken_in_released(
    yard: Yard, unrecorded: Backup
) -> None:
    yard.service.release("shop", held_by="run-1")
    assert yard.service.recover().adopted == (unrecorded.id,)
    assert yard.service.find(unrecorded.id).held_by is None


def test_nothing_is_deleted_while_a_restore_reads(aged: tuple[Yard, list[str]]) -> None:
    yard, ids = aged
    layout = Layout(yard.root)
    with layout.reading(), layout.reading():
        with pytest.raises(BackupFailed, match="a restore reads backups"):
            yard.service.prune(apply=True)
        with pytest.raises(Busy), exclusive(layout.wal_prune_lock(), "pruning WAL"):
            pass
    assert sorted(yard.service.prune(apply=True).deleted) == ids[:2]


def test_two_prunes_at_once_are_one(aged: tuple[Yard, list[str]]) -> None:
    yard, _ = aged
    with exclusive(Layout(yard.root).prune_lock(), "pruning"):
        with pytest.raises(BackupFailed, match="being pruned already"):
            yard.service.prune(apply=True)
