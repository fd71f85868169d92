"""A base backup brought back into an empty folder, shut in, and handed over stopped and whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.backup.restore.archive import Progress, RestoreFailed, RestoreInterrupted
from shippyard.backup.restore.assess import Wanted
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.point import parse_point
from shippyard.backup.restore.service import Report, RestoreRefusedHere, Restores
from shippyard.backup.restore.shelf import FolderShelf
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.state.database import open_state
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics

SUBSCRIBE = (
    "CREATE SUBSCRIPTION upstream CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION upstream ENABLE",
)
UNSUBSCRIBE = (
    "ALTER SUBSCRIPTION upstream DISABLE",
    "ALTER SUBSCRIPTION upstream SET (slot_name = NONE)",
    "DROP SUBSCRIPTION upstream",
)


@dataclass
class Machine:
    """Where a base backup is, and what restores it."""

    means: Means
    folder: Path
    told: list[Condition]

    @property
    def data_dir(self) -> Path:
        """Where it goes."""
        return self.folder / "data"

    def restore(
        self, at: str = "latest", progress: Progress = lambda _: None, **changes: Any
    ) -> Report:
        """Restore what is there."""
        means = replace(self.means, **changes)
        place = IntoFolder(self.data_dir, means)
        wanted = Wanted("files", place.name, point=parse_point(at))
        return Restores(means, self.told.append).run(
            wanted, place, asked_by="olga", progress=progress
        )


@pytest.fixture(scope="module")
def backups(cluster: EmbeddedCluster, processes: Processes) -> Iterator[Config]:
    """One base backup of a server that follows another."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-test-"))
    login = {"user": "postgres"}
    shop = {"name": "shop", "dbname": "postgres", "monitor": login, "backup": login}
    config = Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", "timeout_s": 60, "clusters": {"main": {}}},
            "databases": [shop | {"host": str(cluster.socket_dir)}],
        }
    )
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as link:
        for statement in SUBSCRIBE:
            link.execute(statement.encode())
        try:
            with open_state(folder / "state") as state:
                service = BackupService(
                    config,
                    {"shop": cluster.target()},
                    processes=processes,
                    state=state,
                    metrics=Metrics(),
                    clock=SystemClock(),
                )
                service.run("@main", "base", "manual")
        finally:
            for statement in UNSUBSCRIBE:
                link.execute(statement.encode())
    yield config
    shutil.rmtree(folder)


@pytest.fixture
def machine(backups: Config, processes: Processes) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="shippyard-test-"))
    folder.chmod(0o755)
    shelf = FolderShelf(backups.backup.dir, seal_of(backups).trusted)
    yield Machine(
        Means(shelf, str(backups.backup.dir), processes, SystemClock(), timeout_s=60), folder, []
    )
    shutil.rmtree(folder)


def test_it_comes_back_promoted_stopped_and_with_its_subscription_disabled(
    machine: Machine,
) -> None:
    report = machine.restore()
    assert report.ok
    assert "subscription upstream in postgres is disabled" in "\n".join(report.done.notes)
    assert not (machine.data_dir / "postmaster.pid").exists()
    assert not (machine.data_dir / "recovery.signal").exists()
    assert sorted(each.name for each in machine.folder.iterdir()) == ["data"]
    assert report.done.handback.reach.endswith("--wait start")
    assert "/pg_ctl --pgdata=" in report.done.handback.reach
    assert report.done.handback.commands[-1] == "shippyard ctl backup run @main"
    assert list(report.done.phases) == ["fetch", "unpack", "replay"]


def test_a_folder_with_something_in_it_is_refused_and_left(machine: Machine) -> None:
    machine.data_dir.mkdir()
    (machine.data_dir / "PG_VERSION").write_text("15\n")
    with pytest.raises(RestoreRefusedHere, match="is not empty: it holds PG_VERSION"):
        machine.restore()
    assert [each.name for each in machine.data_dir.iterdir()] == ["PG_VERSION"]
    assert machine.told == []


def test_a_point_after_all_that_is_kept_is_refused(machine: Machine) -> None:
    with pytest.raises(RestoreRefusedHere, match="is after what is kept"):
        machine.restore("FFFFFF/0")
    assert not machine.data_dir.exists()


def test_a_name_that_was_never_given_is_said_with_where_to_look(machine: Machine) -> None:
    with pytest.raises(
        RestoreFailed, match=r"restore point nope is not in the WAL that is kept; `shippyard"
    ):
        machine.restore("name:nope")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to run a server as")
def test_a_place_that_the_server_can_not_enter_is_refused(machine: Machine) -> None:
    machine.folder.chmod(0o700)
    with pytest.raises(RestoreRefusedHere, match=r"can't enter .*; run: chmod o\+x "):
        machine.restore()
    assert list(machine.folder.iterdir()) == []


def test_an_end_in_the_middle_says_what_is_left(machine: Machine) -> None:
    mine = Processes()

    def end_it(fields: Any) -> None:
        if fields["phase"] == "unpacking":
            mine.end_all()

    with pytest.raises(RestoreInterrupted, match=r"stopped; .* is empty as before"):
        machine.restore(progress=end_it, processes=mine)
    assert machine.told[-1].summary is None


def test_a_damaged_file_is_refused_and_nothing_left(machine: Machine, tmp_path: Path) -> None:
    root = tmp_path / "backups"
    shelf = machine.means.shelf
    (manifest,) = shelf.look().manifests
    shutil.copytree(shelf.folder(manifest, None).parents[1], root)
    file = root / "@main" / manifest.id / "base.tar.zst"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    trusted = frozenset({*shelf._trusted})  # type: ignore[attr-defined]  # the same keys
    with pytest.raises(RestoreFailed, match=r"is damaged.*is empty as before"):
        machine.restore(shelf=FolderShelf(root, trusted))
