"""An operator's day through `ctl`: look, migrate through the gate, back up, verify, prune."""

import json
import threading
import time

import psycopg
import pytest

from proofs.rig import DATABASE, Rig
from tests.conftest import Eventually

HEAD = "023"


def test_migrate_shows_the_plan_and_asks_for_yes_without_a_terminal(running: Rig) -> None:
    ran = running.ctl("migrate")
    assert ran.returncode == 2
    assert "001" in ran.stdout
    assert "--yes" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_migrate_runs_to_head_after_a_backup(running: Rig) -> None:
    ran = running.ctl("migrate", "--yes", "--json")
    assert ran.returncode == 0, ran.stderr
    run = ran.document
    assert (run["from_revision"], run["to_revision"], run["state"]) == (None, HEAD, "done")
    backups = running.ctl("backup", "list", "--json").document["backups"]
    assert [(b["id"], b["held_by"]) for b in backups] == [(run["backup_id"], run["id"])]
    with running.connect() as connection:
        version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert version == (HEAD,)


def test_the_daemons_memory_is_kept_after_a_run(running: Rig, eventually: Eventually) -> None:
    eventually(lambda: list((running.backups / ".state").glob("[!.]*.sqlite3")))


def test_migrating_again_has_nothing_to_do(running: Rig) -> None:
    ran = running.ctl("migrate", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "nothing to run" in ran.stdout


def test_an_unknown_revision_is_usage(running: Rig) -> None:
    ran = running.ctl("migrate", "01", "--yes")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "01" in ran.stderr


def test_history_has_the_run(running: Rig) -> None:
    runs = running.ctl("migrate", "history", "--json").document["runs"]
    assert [run["state"] for run in runs] == ["done"]


def test_backup_run_publishes_a_dump_and_a_schema_that_verify(running: Rig) -> None:
    ran = running.ctl("backup", "run", DATABASE, "--json")
    assert ran.returncode == 0, ran.stderr
    backups = ran.document["backups"]
    assert sorted(b["kind"] for b in backups) == ["dump", "schema"]
    for backup in backups:
        assert running.ctl("backup", "verify", backup["id"]).returncode == 0
        shown = running.ctl("backup", "show", backup["id"], "--json").document
        assert shown["manifest"]["id"] == backup["id"]


def test_a_damaged_backup_is_found_and_counts_no_more(running: Rig) -> None:
    ran = running.ctl("backup", "run", DATABASE, "--kind", "schema", "--json")
    backup_id = ran.document["backups"][0]["id"]
    folder = running.backups / DATABASE / backup_id
    artifact = next(path for path in folder.iterdir() if path.suffix == ".sql")
    artifact.write_bytes(artifact.read_bytes().replace(b"CREATE", b"CREAZE", 1))
    ran = running.ctl("backup", "verify", backup_id)
    assert ran.returncode == 1
    assert "damaged" in ran.stderr
    listed = running.ctl("backup", "list", "--json").document["backups"]
    assert backup_id not in [b["id"] for b in listed]


def test_prune_only_shows_until_told_twice(running: Rig) -> None:
    decisions = running.ctl("backup", "prune", "--json").document
    assert decisions["deleted"] == []
    assert all(d["why"] for d in decisions["decisions"])


def test_health_names_every_check_and_finds_nothing(running: Rig) -> None:
    answer = running.ctl("health", "--json").document
    checks = answer["databases"][0]["checks"]
    assert {"blocking_edges", "connections", "long_running"} <= {c["name"] for c in checks}
    assert [c for c in checks if not c["ok"] and not c["lacks"]] == []
    # Statements are counted by an extension, which nobody installed here.
    lacking = {c["name"] for c in checks if c["lacks"]}
    assert lacking <= {"statements_info", "statements_top"}
    assert answer["findings"] == []


def test_status_in_a_pipe_is_plain_lines(running: Rig) -> None:
    ran = running.ctl("status")
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    assert DATABASE in ran.stdout
    assert f"{HEAD} done" in ran.stdout


def test_status_says_how_backups_stand(running: Rig) -> None:
    backups = running.ctl("status", "--json").document["backups"]
    (shop,) = backups["subjects"]
    assert (shop["subject"], backups["frozen"], backups["place"]) == (DATABASE, None, None)
    assert shop["newest"]["dump"]["age_s"] > 0
    assert shop["loss"]["machine"] == "all"
    lines = [line.split("\t") for line in running.ctl("status").stdout.splitlines()]
    (line,) = [words for words in lines if len(words) == 8 and words[0] == DATABASE]
    assert line[1].startswith("dump ")
    assert line[5:7] == ["never", "no place"]


def test_every_looking_command_has_json(running: Rig) -> None:
    for words in (["status"], ["health"], ["alerts"], ["jobs"], ["backup", "list"]):
        before = running.ctl("--json", *words)
        after = running.ctl(*words, "--json")
        assert json.loads(before.stdout).keys() == json.loads(after.stdout).keys()


def test_a_blocker_stops_the_gate(running: Rig) -> None:
    with running.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with running.connect() as waiter:
            waiter.execute("SET lock_timeout = '8s'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                _ask_the_gate_while(waiter, running)
        holder.execute("ROLLBACK")


def _ask_the_gate_while(waiter: psycopg.Connection[tuple[object]], rig: Rig) -> None:
    seen: list[tuple[int, str]] = []

    def ask() -> None:
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline and not any(code == 3 for code, _ in seen):
            ran = rig.ctl("migrate", "plan", "--json")
            seen.append((ran.returncode, ran.stderr))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        waiter.execute("SELECT count(*) FROM users")
    finally:
        asker.join()
        assert any(code == 3 and "blockers" in said for code, said in seen), seen
