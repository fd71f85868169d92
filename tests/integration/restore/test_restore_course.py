"""The whole course: assessed, refused by name, restored, compared, handed back, remembered."""

import contextlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from shippyard.backup.conditions import Condition
from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.offsite.offsite import open_offsite
from shippyard.backup.restore import methods
from shippyard.backup.restore.archive import RestoreFailed
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.dumps import IntoDatabase
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.place import only_restore_into
from shippyard.backup.restore.service import RULE, Restores
from shippyard.backup.restore.shelf import FolderShelf
from shippyard.backup.seal import seal_of
from shippyard.backup.service import BackupService
from shippyard.cli.exits import ExitCode, Problem
from shippyard.cli.restore import restore as restore_command
from shippyard.config.models import ClusterBackup, Config, Offsite
from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.signing import key_id_of
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.state.database import open_state
from shippyard.telemetry.metrics import Metrics

ME = Peer(0, "olga", frozenset({"viewer", "operator"}))


class Listening:
    """A client's end of a request."""

    def __init__(self) -> None:
        self.said: list[Document] = []

    def progress(self, fields: Document) -> None:
        self.said.append(fields)

    def item(self, fields: Document) -> None:
        raise AssertionError(fields)


@dataclass
class Yard:
    """A database `shop` with a published dump, and what restores it."""

    config: Config
    target: Target
    restores: Restores
    means: Means
    told: list[Condition]
    key_id: str

    def ask(self, method: str, **params: Any) -> Document:
        """One request on the socket."""
        known = {each.name: each for each in self.methods()}
        answer: Document = known[method].run(Call(params, ME, Listening()))
        return answer

    def methods(self) -> list[Any]:
        return methods.build(
            self.restores,
            self.config,
            {"shop": self.target},
            into_database=lambda into: IntoDatabase(into, self.means),
            into_folder=lambda folder: IntoFolder(folder, self.means),
        )

    def count(self, dbname: str, table: str) -> int:
        """Rows that are there now."""
        into = replace(self.target, dbname=dbname)
        with psycopg.connect(**into.conninfo(), autocommit=True) as link:
            row = link.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row is not None
            return int(row[0])


@pytest.fixture(scope="module")
def published(cluster: EmbeddedCluster, processes: Processes) -> Iterator[tuple[Config, Target]]:
    """A database `shop`, and one dump of it in a folder."""
    target = replace(cluster.target(), dbname=f"t_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {target.dbname}".encode())
    with psycopg.connect(**target.conninfo(), autocommit=True) as link:
        link.execute("CREATE TABLE users (id serial PRIMARY KEY, email text)")
        link.execute("INSERT INTO users (email) SELECT n || '@x' FROM generate_series(1, 70) n")
    folder = Path(tempfile.mkdtemp(prefix="shippyard-test-"))
    login = {"user": target.user}
    shop = {"name": "shop", "dbname": target.dbname, "monitor": login, "backup": login}
    config = Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", "timeout_s": 60},
            "databases": [shop | {"host": target.host, "port": target.port}],
        }
    )
    with open_state(folder / "state") as state:
        service = BackupService(
            config,
            {"shop": target},
            processes=processes,
            state=state,
            metrics=Metrics(),
            clock=SystemClock(),
        )
        service.run("shop", "dump", "manual")
    yield config, target
    shutil.rmtree(folder)
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as link:
        link.execute(f"DROP DATABASE {target.dbname} WITH (FORCE)".encode())


@pytest.fixture
def yard(published: tuple[Config, Target], processes: Processes) -> Yard:
    config, target = published
    seal = seal_of(config)
    told: list[Condition] = []
    shelf = FolderShelf(config.backup.dir, seal.trusted)
    means = Means(shelf, str(config.backup.dir), processes, SystemClock(), timeout_s=60)
    key_id = key_id_of(seal.signer.public_key)
    return Yard(config, target, Restores(means, told.append), means, told, key_id)


@pytest.fixture
def elsewhere(yard: Yard) -> Iterator[str]:
    """The name of a database that is not there yet."""
    name = f"{yard.target.dbname}_back"
    yield name
    with psycopg.connect(
        **replace(yard.target, dbname="postgres").conninfo(), autocommit=True
    ) as link:
        link.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def test_assessed_restored_compared_and_handed_back(yard: Yard, elsewhere: str) -> None:
    assessed = yard.ask("restore.assess", of="shop", dbname=elsewhere)
    assert assessed["refusals"] == []
    assert assessed["backup"]["of"] == "shop"
    report = yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert report["ok"], report["differences"]
    assert report["compared"] == "1 tables by row count, 1 of them by digest"
    assert f"-d {elsewhere}" in report["reach"]
    assert any("RENAME TO" in command for command in report["commands"])
    assert yard.count(elsewhere, "users") == 70


def test_retention_waits_while_it_runs(yard: Yard, elsewhere: str) -> None:
    lock = Layout(yard.config.backup.dir).prune_lock()
    held: list[str] = []

    def try_to_prune(said: Condition) -> None:
        with contextlib.suppress(Busy), exclusive(lock, "pruning"):
            return
        held.append(said.rule)

    yard.restores._tell = try_to_prune
    yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert held == [RULE, RULE]
    with exclusive(lock, "pruning"):
        pass


def test_on_call_is_told_that_it_runs_and_that_it_ended(yard: Yard, elsewhere: str) -> None:
    yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert [condition.rule for condition in yard.told] == [RULE, RULE]
    assert elsewhere in str(yard.told[0].summary)
    assert yard.told[1].summary is None
    (run,) = yard.ask("restore.status")["restores"]
    assert (run["state"], run["asked_by"], run["target"]) == ("done", "olga", elsewhere)


def test_a_name_that_was_not_typed_restores_nothing(yard: Yard, elsewhere: str) -> None:
    with pytest.raises(MethodError, match="confirm it by the target's name") as refused:
        yard.ask("restore.run", of="shop", dbname=elsewhere, confirm="shop")
    assert refused.value.code == "usage"
    assert yard.told == []


def test_what_is_there_blocks_it_and_is_listed(yard: Yard) -> None:
    name = yard.target.dbname
    with pytest.raises(MethodError, match=r"is not empty: table public\.users") as refused:
        yard.ask("restore.run", of="shop", confirm=name)
    assert refused.value.code == "blocked"
    assert refused.value.detail["refusals"]
    assert yard.told == []


def test_content_that_differs_is_no_success(
    yard: Yard, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = yard.means.shelf
    found = shelf.look()
    (manifest,) = found.manifests
    assert manifest.content is not None
    table = replace(manifest.content.tables[0], digest="0" * 32)
    content = replace(manifest.content, tables=(table,))
    changed = replace(found, manifests=(replace(manifest, content=content),))
    monkeypatch.setattr(shelf, "look", lambda: changed)
    report = yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert not report["ok"]
    assert report["differences"] == ["public.users: 70 rows as before, but their content differs"]
    assert yard.ask("restore.status")["restores"][0]["state"] == "differs"


def test_two_restores_into_one_place_are_one_too_many(
    yard: Yard, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    fetch = yard.means.shelf.folder

    def slowly(*arguments: Any) -> Path:
        begun.set()
        assert go_on.wait(10)
        return fetch(*arguments)

    monkeypatch.setattr(yard.means.shelf, "folder", slowly)
    params = {"of": "shop", "dbname": elsewhere, "confirm": elsewhere}
    first = threading.Thread(target=lambda: yard.ask("restore.run", **params))
    first.start()
    assert begun.wait(10)
    with pytest.raises(MethodError, match="is under way"):
        yard.ask("restore.run", **params)
    go_on.set()
    first.join(20)
    assert yard.count(elsewhere, "users") == 70


def test_a_second_program_is_kept_out_too(yard: Yard, elsewhere: str) -> None:
    into = replace(yard.target, dbname=elsewhere)
    with only_restore_into(into), pytest.raises(MethodError, match=r"restore into .* is under way"):
        yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)


def test_an_unknown_database_is_said_with_those_there_are(yard: Yard) -> None:
    with pytest.raises(MethodError, match="no database 'bank'; the configuration has shop"):
        yard.ask("restore.assess", of="bank")


def typed(yard: Yard, *arguments: str, trust: str | None = None) -> tuple[int, str]:
    """`shippyard restore` as a person types it; its exit code and all it said."""
    place = ["--from", str(yard.config.backup.dir), "--trust", trust or yard.key_id]
    server = ["--host", yard.target.host, "--port", str(yard.target.port)]
    argv = [*place, *server, "--user", yard.target.user, *arguments]
    done = CliRunner().invoke(restore_command, argv)
    if isinstance(done.exception, Problem):
        return done.exception.code, f"{done.output}\n{done.exception}"
    assert done.exception is None, done.exception
    return done.exit_code, done.output


def test_without_daemon_state_or_config_it_comes_back(yard: Yard, elsewhere: str) -> None:
    code, said = typed(yard, "--dbname", elsewhere, "--yes")
    assert code == 0, said
    assert "compared     1 tables by row count, 1 of them by digest" in said
    assert yard.count(elsewhere, "users") == 70


@pytest.mark.parametrize(
    ("arguments", "trust", "code", "expected"),
    [
        (("--yes",), "0" * 16, ExitCode.BLOCKED, "is not trusted here: if you know that key"),
        (("--yes", "--dbname", "x"), "0" * 16, ExitCode.BLOCKED, "is not trusted here"),
        (("--dbname", "nowhere_x"), None, ExitCode.USAGE, "say --yes"),
        (("--yes",), None, ExitCode.BLOCKED, "is not empty: table public.users"),
        (("--table", "a.b", "--schema", "c", "--yes"), None, ExitCode.USAGE, "not both"),
        (("--dbname", "x", "--at", "soon", "--yes"), None, ExitCode.USAGE, "is no point"),
        (("--of", "bank", "--dbname", "x", "--yes"), None, ExitCode.BLOCKED, "no dump of bank"),
        (("--table", "public.nope", "--dbname", "x", "--yes"), None, ExitCode.BLOCKED, "it has"),
        (("--data-dir", "/proc/x", "--of", "shop"), None, ExitCode.BLOCKED, "no base backup"),
    ],
)
def test_refusals_have_a_reason_and_a_code(
    yard: Yard, arguments: tuple[str, ...], trust: str | None, code: ExitCode, expected: str
) -> None:
    found, said = typed(yard, *arguments, trust=trust)
    assert found == code, said
    assert expected in said


def test_the_list_says_what_there_is_and_what_is_not_believed(yard: Yard) -> None:
    assert "-dump-" in typed(yard, "--list")[1]
    code, said = typed(yard, "--list", trust="0" * 16)
    assert code == ExitCode.FAILED
    assert f"signed by key {yard.key_id}, which is not trusted here" in said


def test_a_role_that_may_make_no_database_is_told_before_any_work(
    yard: Yard, elsewhere: str
) -> None:
    with psycopg.connect(**yard.target.conninfo(), autocommit=True) as link:
        link.execute(b"CREATE ROLE modest LOGIN")
        try:
            code, said = typed(yard, "--user", "modest", "--dbname", elsewhere, "--yes")
        finally:
            link.execute(b"DROP ROLE modest")
    assert code == ExitCode.BLOCKED
    assert 'as a superuser run: ALTER ROLE "modest" CREATEDB' in said


def test_a_cluster_without_a_folder_is_told_what_it_needs(yard: Yard) -> None:
    yard.config = yard.config.model_copy(
        update={
            "backup": yard.config.backup.model_copy(update={"clusters": {"main": ClusterBackup()}})
        }
    )
    with pytest.raises(MethodError, match="restored as files: give --data-dir"):
        yard.ask("restore.assess", of="@main")


def test_one_backup_by_its_folder(yard: Yard) -> None:
    (folder,) = (yard.config.backup.dir / "shop").glob("*-dump-*")
    shelf = FolderShelf(folder, seal_of(yard.config).trusted)
    assert [manifest.id for manifest in shelf.look().manifests] == [folder.name]


def test_from_a_store_off_the_machine(yard: Yard, elsewhere: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    seal = seal_of(yard.config)
    (folder,) = (yard.config.backup.dir / "shop").glob("*-dump-*")
    store.mkdir()
    offsite = open_offsite(Offsite(url=str(store)), seal, SystemClock())
    offsite.send(folder, seal.read(folder))
    offsite.close()
    place = ("--from", str(store), "--scratch", str(tmp_path))
    code, said = typed(yard, *place, "--dbname", elsewhere, "--yes", trust="0" * 16)
    assert code == ExitCode.BLOCKED
    assert f"signed by {yard.key_id}, which is not trusted here" in said
    code, said = typed(yard, *place, "--dbname", elsewhere, "--yes")
    assert code == 0, said
    assert yard.count(elsewhere, "users") == 70


def test_a_place_that_is_gone_is_said(yard: Yard, tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path / "nowhere", frozenset())
    gone = Restores(replace(yard.means, shelf=shelf), yard.told.append)
    with pytest.raises(RestoreFailed, match="is it mounted"):
        gone.backups()
