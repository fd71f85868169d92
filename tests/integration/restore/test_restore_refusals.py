"""What stands against a restore is said before any work, with what to do and an exit code."""

from pathlib import Path

import psycopg
import pytest
from pyrage.x25519 import Identity

from shippyard.backup.offsite.age import key_id_of as recipient_id
from shippyard.backup.offsite.offsite import open_offsite
from shippyard.backup.seal import seal_of
from shippyard.cli.exits import ExitCode
from shippyard.config.models import ClusterBackup, Offsite
from shippyard.control.method import MethodError
from shippyard.host.clock import SystemClock
from tests.integration.restore.restore_yard import Yard, typed


def test_an_unknown_database_is_said_with_those_there_are(yard: Yard) -> None:
    with pytest.raises(MethodError, match="no database 'bank'; the configuration has shop"):
        yard.ask("restore.assess", of="bank")


def test_an_unknown_backup_ends_by_the_same_code_with_and_without_the_daemon(yard: Yard) -> None:
    for method in ("restore.assess", "restore.run"):
        with pytest.raises(MethodError, match="there is no backup nope here; `ship") as refused:
            yard.ask(method, of="shop", backup="nope", confirm=yard.target.dbname)
        assert refused.value.code == "usage"


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
        (("--schema", "nope", "--yes"), None, ExitCode.BLOCKED, "it has schema public"),
        (("--backup", "nope"), None, ExitCode.USAGE, "there is no backup nope"),
        (("--backup", "nope", "--dbname", "x"), None, ExitCode.USAGE, "there is no backup nope"),
        (("--of", "@main", "--yes"), None, ExitCode.USAGE, "as in `… @main --data-dir"),
        (("--data-dir", "/proc/x", "--of", "shop"), None, ExitCode.BLOCKED, "no base backup"),
    ],
)
def test_refusals_have_a_reason_and_a_code(
    yard: Yard, arguments: tuple[str, ...], trust: str | None, code: ExitCode, expected: str
) -> None:
    found, said = typed(yard, *arguments, trust=trust)
    assert found == code, said
    assert expected in said


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


def test_a_schema_under_another_name_needs_a_database_on_the_way(yard: Yard) -> None:
    with psycopg.connect(**yard.target.conninfo(), autocommit=True) as link:
        link.execute(b"CREATE ROLE modest LOGIN")
        try:
            code, said = typed(yard, "--user", "modest", "--schema", "public", "--into-schema", "b")
        finally:
            link.execute(b"DROP ROLE modest")
    assert code == ExitCode.BLOCKED
    assert 'role modest may make none; as a superuser run: ALTER ROLE "modest" CREATEDB' in said


def test_a_part_that_is_not_in_the_backup_is_said_by_the_assessment(
    yard: Yard, elsewhere: str
) -> None:
    assessed = yard.ask("restore.assess", of="shop", table="nope", dbname=elsewhere)
    said = "public.nope is not in this backup; it has public.users"
    assert assessed["refusals"] == [said]
    with pytest.raises(MethodError, match=said) as refused:
        yard.ask("restore.run", of="shop", table="nope", dbname=elsewhere, confirm=elsewhere)
    assert refused.value.code == "blocked"
    assert not yard.there_is(elsewhere)


def test_a_cluster_without_a_folder_is_told_what_it_needs(yard: Yard) -> None:
    clusters = {"main": ClusterBackup()}
    backup = yard.config.backup.model_copy(update={"clusters": clusters})
    yard.config = yard.config.model_copy(update={"backup": backup})
    with pytest.raises(MethodError, match="as in `… @main --data-dir /srv/restored`"):
        yard.ask("restore.assess", of="@main")
    with pytest.raises(MethodError, match="the configuration has shop, @main"):
        yard.ask("restore.assess", of="main")


def test_copies_whose_key_is_lost_say_so_where_nothing_can_be_restored(
    yard: Yard, tmp_path: Path
) -> None:
    store, seal = tmp_path / "store", seal_of(yard.config)
    (folder,) = (yard.config.backup.dir / "shop").glob("*-dump-*")
    store.mkdir()
    lost = str(Identity.generate().to_public())
    offsite = open_offsite(Offsite(url=str(store), recipients=(lost,)), seal, SystemClock())
    offsite.send(folder, seal.read(folder))
    offsite.close()
    for arguments in (("--yes",), ("--dbname", "x", "--yes")):
        code, said = typed(yard, "--from", str(store), "--of", "shop", *arguments)
        assert code == ExitCode.BLOCKED
        assert f"1 that are there can't be used: shop/{folder.name}: " in said
        assert recipient_id(lost) in said
