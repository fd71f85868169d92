"""Owns what happens on the booted machine: a server, the daemon, the hostile run, what came of it.

Run there as root; writes one JSON document to /proof/found.json. Judges nothing.
"""

import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PROOF = Path("/proof")
DATA = Path("/var/lib/pgproof")
TREE = Path("/srv/tree")
STATE = Path("/var/lib/shippyard")
PASSWORDS = ("migrator", "monitor", "backup")
SETTINGS = """
environment = "testing"

[daemon]
state_dir = "/var/lib/shippyard"

[http]
port = 9754

[control]
socket = "/run/shippyard/control.sock"
group = "shippyard-admin"
operators = ["@shippyard-operator"]
{databases}
[backup]
dir = "/var/lib/shippyard/backups"
dump_schedule = ""
schema_schedule = ""
prune_schedule = ""

[migration]
alembic_ini = "/srv/tree/alembic.ini"
backup_before = true
{runner}
"""
DATABASE = """
[[databases]]
name = "{name}"
dbname = "{name}"
host = "/run/postgresql"
monitor = {{ user = "monitor", password_credential = "shippyard.monitor" }}
backup = {{ user = "backup", password_credential = "shippyard.backup" }}
migrator = {{ user = "migrator", password_credential = "shippyard.migrator" }}
"""
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other' AND xact_start IS NOT NULL"
    " AND application_name LIKE 'shippyard:migrate:%'"
)
RUNNER = 'runner_socket = "/run/shippyard-runner.sock"'
ENV = """
from alembic import context

with_connection = context.config.attributes.get("connection")
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    context.configure(connection=with_connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""


def main() -> None:
    """Step by step; what was found so far is written even when a later one breaks."""
    found: dict[str, Any] = {}
    quick = (PROOF / "quick").exists()
    try:
        people()
        server()
        program()
        configure(RUNNER)
        run("systemctl", "start", "shippyard-runner.socket", "shippyard")
        found["confined"] = attacked(beside=not quick)
        found["left"] = left_behind()
        found["audit"] = audited()
        if quick:
            return
        found["doctor"] = doctor()
        found["orphan"] = orphaned()
        # The same as a plain child of the daemon: an attempt that fails there, too, shows nothing.
        run("systemctl", "stop", "shippyard")
        configure("")
        run("systemctl", "start", "shippyard")
        found["unconfined"] = attacked(beside=True)
        found["doctor_without"] = doctor()
    finally:
        found["daemon"] = ended("journalctl", "-u", "shippyard", "--no-pager", "-n", "40").stdout
        found["runners"] = ended("journalctl", "-u", "shippyard-runner@*", "--no-pager").stdout
        (PROOF / "found.json").write_text(json.dumps(found, indent=1))


def run(*argv: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """A program that must work."""
    done = ended(*argv, user=user)
    if done.returncode:
        raise SystemExit(f"{argv[:4]}: {done.stdout[-500:]} {done.stderr[-1500:]}")
    return done


def ended(*argv: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """A program that may fail."""
    return subprocess.run(
        argv,
        check=False,
        text=True,
        capture_output=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        cwd="/",
        **(account_of(user) if user else {}),
    )


def people() -> None:
    """The daemon's user and groups, and an operator."""
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "shippyard.conf")
    run("useradd", "--no-create-home", "-G", "shippyard-admin,shippyard-operator", "ana")


def server() -> None:
    """A PostgreSQL of the distribution's, its socket where Debian has it."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    owner = pwd.getpwnam("postgres")
    for folder in (DATA, Path("/run/postgresql")):
        folder.mkdir(exist_ok=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    DATA.chmod(0o700)
    run(str(programs / "initdb"), "-D", str(DATA), "--no-sync", "--auth=trust", user="postgres")
    hba = "local all postgres peer\nlocal all all scram-sha-256\n"
    (DATA / "pg_hba.conf").write_text(hba)
    unit = ("systemd-run", "--quiet", "--unit=server", "--uid=postgres")
    options = ("-D", str(DATA), "-k", "/run/postgresql", "-c", "listen_addresses=", "-F")
    run(*unit, str(programs / "postgres"), *options)
    until(lambda: ended("psql", "-c", "SELECT 1", user="postgres").returncode == 0)
    roles = {"migrator": "", "monitor": "IN ROLE pg_monitor", "backup": "IN ROLE pg_read_all_data"}
    for name, more in roles.items():
        sql(f"CREATE ROLE {name} LOGIN PASSWORD 'secret-of-{name}' {more}")
    for name in ("shop", "other"):
        sql(f"CREATE DATABASE {name} OWNER migrator")


def sql(statement: str, database: str = "postgres") -> str:
    """As the superuser; the one value."""
    return run("psql", "-AtX", "-c", statement, database, user="postgres").stdout.strip()


def program() -> None:
    """Credentials and a tree, as an installation has them."""
    for name in PASSWORDS:
        path = Path(f"/etc/credstore/shippyard.{name}")
        path.write_text(f"secret-of-{name}")
        path.chmod(0o600)
    (TREE / "versions").mkdir(parents=True)
    (TREE / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    (TREE / "env.py").write_text(ENV)
    shutil.copy(PROOF / "hostile_revision.py", TREE / "versions" / "001_hostile.py")
    backup = STATE / "backups" / "shop"
    backup.mkdir(parents=True)
    (backup / "dump").write_text("everybody's data")
    run("chown", "-R", "shippyard:shippyard", str(STATE))
    run("chmod", "-R", "go=", str(STATE))


def configure(runner: str) -> None:
    """The daemon's configuration, with the runner's socket or without."""
    databases = "".join(DATABASE.format(name=name) for name in ("shop", "other"))
    path = Path("/etc/shippyard/shippyard.toml")
    path.write_text(SETTINGS.format(databases=databases, runner=runner))
    run("chown", "root:shippyard", str(path))
    path.chmod(0o640)


def ctl(*words: str) -> subprocess.CompletedProcess[str]:
    """As the operator types it."""
    return ended("shippyard", "ctl", *words, user="ana")


def begun(*words: str) -> "subprocess.Popen[str]":
    """The same, and not waited for."""
    return subprocess.Popen(
        ["shippyard", "ctl", *words],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        **account_of("ana"),
    )


def account_of(user: str) -> dict[str, Any]:
    """How a program is run as somebody, with the groups they have."""
    gid = pwd.getpwnam(user).pw_gid
    return {"user": user, "group": gid, "extra_groups": os.getgrouplist(user, gid)}


def attacked(*, beside: bool) -> dict[str, Any]:
    """The hostile run, another beside it when asked for: what was said of both."""
    until(lambda: ctl("status").returncode == 0)
    victim = begun("migrate", "run", "--database", "other", "--yes") if beside else None
    if victim:
        until(lambda: sql(RUNNING) != "0" or victim.poll() is not None)
    attack = ctl("migrate", "run", "--database", "shop", "--yes")
    found = {"said": attack.stdout[-3000:] + attack.stderr[-3000:], "status": attack.returncode}
    if victim:
        said = victim.communicate(timeout=60)[0]
        found |= {"victim": victim.returncode, "victim_said": said[-1500:]}
        sql("DROP TABLE IF EXISTS alembic_version", "other")
    return found


def left_behind() -> list[str]:
    """What a run began and did not end, once its unit is gone."""
    until(lambda: not [line for line in processes() if "at_socket" in line])
    return [line for line in processes() if "4242" in line]


def processes() -> list[str]:
    """The uid and the command line of everything that runs."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{folder.stat().st_uid} {words}")
            except OSError:
                continue
    return found


def orphaned() -> Mapping[str, Any]:
    """A daemon killed in the middle of a run: how long the run and its sessions lived on."""
    asking = begun("migrate", "run", "--database", "other", "--yes")
    until(lambda: sql(RUNNING) != "0")
    pid = run("systemctl", "show", "-P", "MainPID", "shippyard").stdout.strip()
    run("kill", "-9", pid)
    killed = time.monotonic()
    until(lambda: sql(RUNNING) == "0")
    sessions_s = time.monotonic() - killed
    until(lambda: not [line for line in processes() if "at_socket" in line])
    runner_s = time.monotonic() - killed
    asking.communicate(timeout=30)
    until(lambda: ctl("status").returncode == 0)
    return {"sessions_s": round(sessions_s, 2), "runner_s": round(runner_s, 2)}


def doctor() -> list[Mapping[str, str]]:
    """What the doctor says of runners, as the daemon's user."""
    argv = ("systemd-run", "-qP", "--wait", "--uid=shippyard", "--gid=shippyard")
    done = ended(*argv, "/opt/shippyard/bin/shippyard", "doctor", "--json")
    try:
        findings = json.loads(done.stdout)["findings"]
    except (ValueError, KeyError):
        return [{"said": done.stdout[-300:] + done.stderr[-300:]}]
    return [each for each in findings if each["check"] == "runner"]


def audited() -> Mapping[str, Any]:
    """The chain before and after root has rewritten an entry of it."""
    before = ctl("migrate", "audit", "--verify")
    with sqlite3.connect(STATE / "state.sqlite3", timeout=10) as connection:
        connection.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    after = ctl("migrate", "audit", "--verify")
    return {
        "before": [before.returncode, before.stdout[-300:] + before.stderr[-300:]],
        "after": [after.returncode, after.stdout[-300:] + after.stderr[-300:]],
    }


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Look ten times a second until it holds."""
    ends = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends:
            line = condition.__code__.co_firstlineno
            raise SystemExit(f"waited {timeout_s:g} s in vain, at line {line}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
