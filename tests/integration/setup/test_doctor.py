"""`shippyard doctor` against a real server: what is wrong is one line, with its remedy."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from shippyard.backup.manifest import Made, Manifest, Source, Verification, write_manifest
from shippyard.cli.doctor import doctor
from shippyard.config.models import Config
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.signing import signer_in
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.setup.doctor.entry import MADE_BY
from shippyard.setup.doctor.examination import CHECKS, look_over, worst
from shippyard.setup.doctor.finding import AS_THE_DAEMON, Check, Finding, Patient
from tests.conftest import Eventually

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


@pytest.fixture
def doors(server: EmbeddedCluster) -> Iterator[Callable[..., None]]:
    """Puts lines above all others of pg_hba.conf, for as long as a test takes."""
    file = server.data_dir / "pg_hba.conf"
    before = file.read_text()

    def write(text: str) -> None:
        with file.open("r+") as opened:  # as it is: another account owns it
            opened.write(text)
            opened.truncate()
        execute(server.target(), "SELECT pg_reload_conf()")

    yield lambda *lines: write("\n".join([*lines, before]))
    write(before)


def test_a_role_that_may_only_stream_is_told_the_other_line(
    given: Given, doors: Callable[..., None], eventually: Eventually
) -> None:
    main = {"main": {"replication": {"user": "streamer"}}}
    patient = given(settings={"clusters": main})
    doors("local shop streamer reject")
    eventually(lambda: wrong(patient, "role"))
    (finding,) = [each for each in found(patient, "role") if each.level != "ok"]
    assert finding.subject == "@main"
    assert "`local  shop  streamer  scram-sha-256`" in finding.remedy
    assert "streamer may stream" in [each.said for each in found(patient, "role")]


def test_a_role_that_may_not_stream_is_told_that_line(
    given: Given, doors: Callable[..., None], eventually: Eventually
) -> None:
    patient = given(settings={"clusters": {"main": {"replication": {"user": "streamer"}}}})
    doors("local replication streamer reject")
    eventually(lambda: wrong(patient, "role"))
    (remedy,) = wrong(patient, "role").values()
    assert "`local  replication  streamer  scram-sha-256`" in remedy
    said = [each.said for each in found(patient, "role")]
    assert "streamer may open sessions in shop" in said


def test_a_role_that_is_not_there_is_made_by_bootstrap(given: Given) -> None:
    absent = {"user": "absent"}
    patient = given(
        monitor=absent,
        backup=absent,
        migrator=absent,
        settings={"clusters": {"main": {"replication": absent, "canary": absent}}},
    )
    assert [each.remedy for each in found(patient, "role")] == [MADE_BY] * 6


def test_servers_hide_that_a_role_is_not_there_and_another_one_sees_it(
    given: Given, doors: Callable[..., None], eventually: Eventually, tmp_path: Path
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:hush\n")
    passfile.chmod(0o600)
    hidden = {"user": "hidden", "passfile": str(passfile)}
    patient = given(settings={"clusters": {"main": {"replication": hidden}}})
    doors("local all hidden scram-sha-256", "local replication hidden scram-sha-256")

    def said() -> dict[str, str]:
        return {k: v for k, v in wrong(patient, "role").items() if "password authentication" in k}

    eventually(said)
    assert set(said().values()) == {MADE_BY}


def test_a_role_whose_credential_is_missing_was_not_tried(given: Given) -> None:
    patient = given(backup={"user": "dumper", "password_credential": "shippyard.backup"})
    (said,) = wrong(patient, "role")
    assert said.startswith("dumper was not tried: credential 'shippyard.backup' is needed")


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


def test_the_backup_folder_is_looked_at(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient, root = given(), tmp_path / "backups"
    said = wrong(patient, "backup dir")
    made = f"install -d -m 0700 -o shippyard -g shippyard {root}"
    assert said[f"{root} is not there yet; the daemon makes it in {tmp_path}"].endswith(made)
    # Whatever is above it belongs to somebody else.
    assert not any(remedy.endswith((f" {tmp_path}", " /tmp")) for remedy in said.values())
    shared = [remedy for line, remedy in said.items() if "shares its disk" in line]
    assert shared == [f"mount a disk of its own at {root}"]
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        (closed,) = [line for line in wrong(patient, "backup dir") if "may not make it" in line]
        assert wrong(patient, "backup dir")[closed].endswith(made)
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


def test_without_credentials_it_says_what_it_did_not_check_and_how_to(given: Given) -> None:
    patient = given(
        backup={"user": "dumper", "password_credential": "shippyard.backup"},
        settings={"signing_key_credential": "shippyard.signing-key"},
    )
    (finding,) = found(patient, "credential")
    assert finding.said == (
        "no credentials are given here; not checked: shippyard.backup, and what needs them"
    )
    assert finding.remedy == AS_THE_DAEMON
    (key,) = found(patient, "signing key")
    assert "not checked: whether backups here were signed by it" in key.said
    assert (key.level, key.remedy) == ("fail", AS_THE_DAEMON)


def test_a_folder_of_credentials_that_is_roots_alone_is_no_use(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    patient = given(backup={"user": "dumper", "password_credential": "shippyard.backup"})
    (finding,) = found(patient, "credential")
    assert f"{tmp_path} is closed to uid" in finding.said
    assert finding.remedy == AS_THE_DAEMON


def test_the_key_is_shown_by_its_id_and_whole(given: Given, tmp_path: Path) -> None:
    signer = signer_in(tmp_path / "state" / "keys")
    shown, only_here = found(given(), "signing key")
    assert shown.said.endswith(f"key {signer.key_id}, public key {signer.public_key}")
    assert (only_here.level, shown.level) == ("warn", "ok")
    assert "signing_key_credential" in only_here.remedy


def test_backups_that_a_lost_key_signed_fail(
    given: Given, tmp_path: Path, a_manifest: Manifest
) -> None:
    lost = signer_in(tmp_path / "lost")
    folder = tmp_path / "backups" / a_manifest.database / a_manifest.id
    folder.mkdir(parents=True, mode=0o700)
    write_manifest(folder, a_manifest, lost)
    for patient in (given(), given(settings={"trusted_keys": ["elder"]})):
        (failed,) = [each for each in found(patient, "signing key") if each.level == "fail"]
        assert failed.subject == "shop"
        assert f"1 backup is on disk and can't be relied on: signed by key {lost.key_id}" in (
            failed.said
        )
        assert f'"{lost.public_key}"]; then: systemctl restart shippyard' in failed.remedy
    trusting = given(settings={"trusted_keys": [lost.public_key]})
    assert worst(found(trusting, "signing key")) == "ok"
    (tmp_path / "state").mkdir()
    (tmp_path / "lost").rename(tmp_path / "state" / "keys")
    assert worst(found(given(), "signing key")) == "warn"


@pytest.fixture
def a_manifest() -> Manifest:
    at = SystemClock().now()
    return Manifest(
        id="20260304T050607Z-dump-1a2b3c",
        database="shop",
        kind="dump",
        reason="schedule",
        held_by=None,
        started_at=at,
        finished_at=at,
        duration_s=1.0,
        source=Source("7", "15.18", "shop", None, None, 0),
        made=Made("pg_dump (PostgreSQL) 15.18", 15, ("pg_dump",)),
        files=(),
        verification=Verification("sha256", at, 0.1),
    )


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
    assert {each.check for each in findings} >= {name for name, _ in CHECKS} - {
        "credential",
        "wal",
        "runner",
    }
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
