"""`shippyard doctor` against a real server: what is wrong is one line, with its remedy."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from shippyard.cli.doctor import doctor
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.setup.doctor.examination import CHECKS, look_over, worst
from shippyard.setup.doctor.finding import Check, Finding, Patient

Given = Callable[..., Patient]


@pytest.fixture(scope="module")
def server(processes: Processes) -> Iterator[EmbeddedCluster]:
    """One whose roles have just the rights they should, with a table behind row-level security."""
    with embedded_cluster(server_tools(processes), processes) as running:
        execute(
            running.target(),
            "CREATE ROLE watcher LOGIN IN ROLE pg_monitor",
            "CREATE ROLE dumper LOGIN BYPASSRLS IN ROLE pg_read_all_data",
            "CREATE ROLE owner LOGIN BYPASSRLS",
            "CREATE ROLE streamer LOGIN REPLICATION",
            "CREATE ROLE nobody_much LOGIN",
            "CREATE DATABASE shop OWNER owner",
        )
        execute(
            shop(running),
            "CREATE TABLE secret (n int)",
            "ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
        )
        yield running


def shop(server: EmbeddedCluster) -> Target:
    return server.target("shop")


def execute(target: Target, *statements: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def given(server: EmbeddedCluster, processes: Processes, tmp_path: Path) -> Given:
    def make(*, settings: dict[str, Any] | None = None, **roles: dict[str, str]) -> Patient:
        return Patient(a_config(server, tmp_path, settings or {}, roles), processes, SystemClock())

    return make


def a_config(
    server: EmbeddedCluster, folder: Path, backup: dict[str, Any], roles: dict[str, dict[str, str]]
) -> Config:
    database = {
        "name": "shop",
        "dbname": "shop",
        "host": str(server.socket_dir),
        "monitor": {"user": "watcher"},
        "backup": {"user": "dumper"},
        "migrator": {"user": "owner"},
        **roles,
    }
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": folder / "state"},
            "backup": {"dir": folder / "backups", **backup},
            "databases": [database],
        }
    )


def found(patient: Patient, name: str) -> list[Finding]:
    checks: list[tuple[str, Check]] = [each for each in CHECKS if each[0] == name]
    return list(look_over(patient, checks))


def wrong(patient: Patient, name: str) -> dict[str, str]:
    """What is not well, with its remedy."""
    return {each.said: each.remedy for each in found(patient, name) if each.level != "ok"}


def test_roles_with_just_their_rights_are_well(given: Given) -> None:
    findings = found(given(), "role")
    assert [each.level for each in findings] == ["ok"] * 3
    assert findings[1].said == "dumper may do what it is for"


def test_a_role_that_may_too_little_gets_its_grants(given: Given) -> None:
    much = {"user": "nobody_much"}
    assert wrong(given(monitor=much, backup=much, migrator=much), "role") == {
        "nobody_much sees only its own sessions": "GRANT pg_monitor TO nobody_much",
        "nobody_much can't read 1 table (public.secret)": "GRANT pg_read_all_data TO nobody_much",
        "nobody_much would see only some rows (row-level security) of 1 table (public.secret)": (
            "ALTER ROLE nobody_much BYPASSRLS"
        ),
        "nobody_much may create nothing in shop": "ALTER DATABASE shop OWNER TO nobody_much",
        "nobody_much is refused by row-level security where it is forced": (
            "ALTER ROLE nobody_much BYPASSRLS"
        ),
    }


def test_a_superuser_is_more_than_is_needed_and_no_role_is_less(given: Given) -> None:
    patient = given(monitor={"user": "postgres"}, backup={"user": "absent"})
    said = wrong(patient, "role")
    assert said["postgres is a superuser, which it need not be"] == (
        "ALTER ROLE postgres NOSUPERUSER"
    )
    assert any('role "absent" does not exist' in line for line in said)


def test_streaming_and_the_canary_are_tried(given: Given) -> None:
    main: dict[str, Any] = {"replication": {"user": "streamer"}, "canary": {"user": "owner"}}
    assert wrong(given(settings={"clusters": {"main": main}}), "role") == {}
    main = {"replication": {"user": "dumper"}, "canary": {"user": "nobody_much"}}
    said = wrong(given(settings={"clusters": {"main": main}}), "role")
    assert len(said) == 2
    assert any("ALTER ROLE dumper REPLICATION" in remedy for remedy in said.values())
    assert any("CREATE TABLE" in remedy for remedy in said.values())


def test_tools_of_the_servers_major_are_named(given: Given) -> None:
    main = {"main": {"wal": "archive"}}
    findings = found(given(settings={"clusters": main}), "tools")
    assert worst(findings) == "ok"
    assert "pg_basebackup, pg_verifybackup are there" in [each.said for each in findings]


def test_a_server_that_does_not_stream_yet_is_told_how(
    given: Given, server: EmbeddedCluster
) -> None:
    main = {"main": {"wal": "stream", "replication": {"user": "streamer"}}}
    patient = given(settings={"clusters": main, "incremental_schedule": "0 1 * * *"})
    said = wrong(patient, "wal")
    assert said["the server has no slot 'shippyard': it keeps no WAL for us"]
    assert said["no receiver ever ran here"].startswith("systemctl enable --now shippyard-wal@main")
    assert any("max_slot_wal_keep_size is not set" in line for line in said)
    assert any("incremental" in line for line in said)
    execute(shop(server), "SELECT pg_create_physical_replication_slot('shippyard', true)")
    try:
        said = wrong(patient, "wal")
        assert "nobody receives from the slot 'shippyard'; WAL piles up on the server" in said
    finally:
        execute(shop(server), "SELECT pg_drop_replication_slot('shippyard')")


def test_a_server_that_does_not_archive_yet_is_told_how(given: Given, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    main = {"main": {"wal": "archive", "spool": str(spool)}}
    patient = given(settings={"clusters": main})
    said = wrong(patient, "wal")
    assert f"shippyard wal push --spool {spool} %p" in said["archive_mode is off"]
    assert "archive_timeout is 0: on a quiet server hours of work are never archived" in said
    assert said[f"spool {spool}: No such file or directory"]
    spool.mkdir(mode=0o755)
    assert any("it must be 2770 of postgres" in line for line in wrong(patient, "wal"))


def test_the_backup_folder_is_looked_at(given: Given, tmp_path: Path) -> None:
    patient = given()
    assert any("is not there yet" in line for line in wrong(patient, "backup dir"))
    folder = tmp_path / "backups" / "shop"
    folder.mkdir(parents=True, mode=0o755)
    said = wrong(patient, "backup dir")
    assert said[f"{folder} may be read by others: it holds all data"] == f"chmod 0700 {folder}"
    folder.chmod(0o700)
    (folder / "20260304T050607Z-dump-1a2b3c").mkdir()
    assert "closed to everyone else" in [each.said for each in found(patient, "backup dir")]
    huge = folder / "20260304T050607Z-dump-1a2b3c" / "shop.dump"
    huge.touch()
    os.truncate(huge, 12 * 10**12)
    assert any(
        "the next round of backups needs about" in line for line in wrong(patient, "backup dir")
    )


def test_credentials_are_named_and_never_shown(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    (tmp_path / "shippyard.monitor").write_text("hush hush\n")
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:hush\n")
    passfile.chmod(0o644)
    patient = given(
        monitor={"user": "watcher", "password_credential": "shippyard.monitor"},
        backup={"user": "dumper", "password_credential": "shippyard.backup"},
        migrator={"user": "owner", "passfile": str(passfile)},
    )
    findings = found(patient, "credential")
    assert [each.level for each in findings] == ["fail", "ok", "fail"]
    assert "put it in /etc/credstore/shippyard.backup" in findings[0].remedy
    assert findings[2].remedy == f"chmod 0600 {passfile}"
    assert "hush" not in str(findings)


def test_the_signing_key_is_not_made_by_looking(given: Given, tmp_path: Path) -> None:
    patient = given(settings={"offsite": {"url": str(tmp_path / "away")}})
    assert worst(found(patient, "signing key")) == "ok"
    assert worst(found(patient, "offsite")) == "warn"
    assert not (tmp_path / "state").exists()


def test_a_place_that_answers_and_one_that_does_not(given: Given, tmp_path: Path) -> None:
    nowhere = given()
    assert wrong(nowhere, "offsite") == {
        "nothing leaves this machine: with it every backup is lost": (
            'write [backup.offsite] url = "s3://bucket/prefix"'
        )
    }
    keys = tmp_path / "state" / "keys"
    keys.mkdir(parents=True)
    (keys / "signing.key").write_text("A" * 43 + "=")
    away = tmp_path / "away"
    away.mkdir()
    patient = given(settings={"offsite": {"url": str(away)}})
    said = wrong(patient, "offsite")
    assert "copies are not encrypted" in said
    assert not any("can't be looked at" in line for line in said)
    closed = given(
        settings={"offsite": {"url": "s3://shippyard", "endpoint": "http://127.0.0.1:9"}}
    )
    assert worst(found(closed, "offsite")) == "fail"


def test_a_sandbox_can_be_made_and_leaves_nothing(given: Given, tmp_path: Path) -> None:
    findings = found(given(), "sandbox")
    assert "one can be made here" in [each.said for each in findings]
    assert not (tmp_path / "state").exists()


def test_a_promise_that_nothing_keeps_is_said(given: Given) -> None:
    said = wrong(given(), "promise")
    assert said == {
        "no drill is scheduled: nothing is proven": 'set backup.drill.schedule, such as "0 4 1 * *"'
    }


def test_a_server_that_is_down_hides_nothing_else(given: Given, tmp_path: Path) -> None:
    patient = given()
    database = patient.config.databases[0].model_copy(update={"host": str(tmp_path)})
    down = Patient(
        patient.config.model_copy(update={"databases": (database,)}),
        patient.processes,
        patient.clock,
    )
    findings = list(look_over(down))
    assert {each.check for each in findings} >= {name for name, _ in CHECKS} - {"credential", "wal"}
    assert any(each.check == "tools" and "can't be looked at" in each.said for each in findings)


@pytest.fixture
def typed(server: EmbeddedCluster, tmp_path: Path) -> Callable[..., Result]:
    """The command, as a person types it."""
    text = f"""
        environment = "testing"
        daemon.state_dir = "{tmp_path}/state"
        backup.dir = "{tmp_path}/backups"
        databases = [{{ name = "shop", dbname = "shop", host = "{server.socket_dir}",
            monitor = {{ user = "watcher" }}, backup = {{ user = "USER" }} }}]
    """

    def run(*options: str, user: str = "dumper") -> Result:
        file = tmp_path / "shippyard.toml"
        file.write_text(text.replace("USER", user).replace("\n            monitor", " monitor"))
        return CliRunner().invoke(doctor, ["--config", str(file), *options])

    return run


def test_each_finding_is_one_line_and_failing_is_told_by_the_exit(
    typed: Callable[..., Result],
) -> None:
    well = typed()
    assert well.exception is None, well.output
    assert all(line[:5] in ("ok   ", "warn ") for line in well.output.splitlines())
    failed = typed(user="nobody_much")
    assert str(failed.exception).endswith("findings must be mended")
    assert "fail role shop: nobody_much can't read" in failed.output
    assert "→ GRANT pg_read_all_data TO nobody_much" in failed.output


def test_json_has_every_finding_and_the_worst(typed: Callable[..., Result]) -> None:
    said = json.loads(typed("--json").stdout)
    assert said["worst"] == "warn"
    assert {"check", "subject", "level", "said", "remedy"} == set(said["findings"][0])
