"""Owns the row on restores with the daemon dead and its state gone; the table has all of them.

What is restored is asked for as a person types it, and counted by a session of our own.
"""

import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from proofs.backup.restore_beside import FIXED_S, JOBS, RATIO_GOAL, restore_logical
from proofs.program import Program, Ran, shippyard
from proofs.rig import DATABASE, Rig, rig
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

STEP = 100
POINTS = ("latest", "time", "lsn", "name", "xid")
QUICK_POINTS = ("latest", "xid")
MORE = "INSERT INTO orders SELECT {} + n, 1 FROM generate_series(1, {}) n"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


@dataclass
class _Lost:
    """A machine whose daemon is dead and whose state is gone; only backups are left."""

    stage: Rig
    key: str
    points: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    shown: int = 0

    def restore(self, *arguments: str, trust: str | None = None) -> Ran:
        """What a person types; `trust` is the key that they name."""
        given = ("restore", "--from", str(self.stage.backups), "--trust", trust or self.key)
        self.shown += 1
        return shippyard(*given, *arguments)

    def into_server(self, *arguments: str, trust: str | None = None) -> Ran:
        """The same, of the dump and onto the server that still runs."""
        host = str(self.stage.cluster.socket_dir)
        where = ("--of", DATABASE, "--host", host, "--user", "postgres")
        return self.restore(*where, *arguments, trust=trust)

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Note what is not as it must be."""
        if found != wanted:
            self.problems.append(f"{what}: {found!r} instead of {wanted!r}")

    def expect_refused(self, what: str, ran: Ran, code: int, pattern: str) -> None:
        """Note a refusal that did not come, or does not say why."""
        if ran.returncode != code or not re.search(pattern, ran.stderr):
            self.problems.append(f"{what}: ended {ran.returncode}: {ran.stderr.strip()[-200:]}")


def restore_offline(context: Context) -> Outcome:
    """Everything from the folder alone: the daemon killed, its state folder deleted."""
    with rig(context) as stage:
        lost = _lose_everything(context, stage)
        context.say("the daemon is dead, its state is gone: dumps")
        _dumps(lost)
        context.say("base backup and WAL: latest, a time, an LSN, a name, before a transaction")
        _points(context, lost)
        _holes(context, lost)
    points = QUICK_POINTS if context.quick else POINTS
    measured = (
        f"a dump, a table, and base + WAL to {', '.join(points)} and before a hole: "
        f"each row count exact; {lost.shown} commands, refusals with their reason"
    )
    return Outcome(measured, ok=not lost.problems, note="; ".join(lost.problems))


def _lose_everything(context: Context, stage: Rig) -> _Lost:
    stage.document["backup"]["clusters"] = {
        DATABASE: {"wal": "stream", "replication": {"user": "postgres"}}
    }
    rows = context.count(full=200_000, quick=1_000)
    _execute(
        stage.cluster.target(DATABASE),
        "CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE)",
        "INSERT INTO users (email) SELECT n || '@x' FROM generate_series(1, 500) n",
        "CREATE TABLE orders (id int PRIMARY KEY, buyer int REFERENCES users)",
        f"INSERT INTO orders SELECT n, 1 + n % 500 FROM generate_series(1, {rows}) n",
    )
    stage.start()
    argv = [sys.executable, "-m", "shippyard", "wal", "receive", DATABASE, "--create-slot"]
    receiver = Program([*argv, "--config", str(stage.config)], context.folder, "receiver")
    try:
        until(lambda: "wal.receiving" in receiver.said(), 20, "WAL received")
        stage.call("backup.run", {"database": DATABASE, "kind": "dump"})
        stage.call("backup.run", {"database": f"@{DATABASE}", "kind": "base"})
        points = _make_points(stage, rows)
        _until_received(stage)
        receiver.send(signal.SIGTERM)
        receiver.wait(20)
    finally:
        receiver.end()
    stage.kill()
    shutil.rmtree(Path(str(stage.document["daemon"]["state_dir"])))
    said = shippyard("restore", "--from", str(stage.backups), "--list").stderr
    found = re.search(r"signed by key ([0-9a-f]{16})", said)
    assert found, f"the list names no key: {said}"
    return _Lost(stage, found.group(1), points)


def _make_points(stage: Rig, rows: int) -> dict[str, str]:
    """Write on, and note how to come back to each moment; the value is `argument rows`."""
    points = {}
    with stage.connect() as link:
        begun = [rows]

        def ask(question: str) -> str:
            row = link.execute(question.encode()).fetchone()
            assert row is not None, question
            return str(row[0])

        def more() -> int:
            link.execute(MORE.format(begun[0], STEP).encode())
            begun[0] += STEP
            return begun[0]

        count = more()
        time.sleep(0.01)
        points["time"] = f"{ask(NOW)} {count}"
        time.sleep(0.01)
        count = more()
        ask("SELECT pg_switch_wal()")
        points["lsn"] = f"{ask('SELECT pg_current_wal_lsn()')} {count}"
        count = more()
        ask("SELECT pg_create_restore_point('before_import')")
        points["name"] = f"name:before_import {count}"
        more()
        with link.transaction():
            xid = ask("SELECT pg_current_xact_id()::text")
            points["xid"] = f"xid:{xid} {begun[0]}"
            more()
        ask("SELECT pg_switch_wal()")
        points["latest"] = f"latest {more()}"
        points["end"] = ask("SELECT pg_current_wal_flush_lsn()")
    return points


def _until_received(stage: Rig) -> None:
    """Nothing written so far is only on the server."""
    question = b"SELECT bool_and(flush_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"

    def received() -> bool:
        with stage.connect() as link:
            row = link.execute(question).fetchone()
            return bool(row and row[0])

    until(received, 30, "all WAL received")


def _dumps(lost: _Lost) -> None:
    stage = lost.stage
    whole = ("--dbname", "shop_back", "--yes")
    wrong = lost.into_server(*whole, trust="0123456789abcdef")
    lost.expect_refused("a wrong key", wrong, 3, rf"signed by {lost.key}, which is not trusted")
    over = lost.into_server("--yes")
    lost.expect_refused("over what is there", over, 3, r"is not empty: table public\.orders")
    unsaid = lost.into_server("--dbname", "shop_back")
    lost.expect_refused("without --yes", unsaid, 2, "say --yes")
    lost.expect("the whole dump", lost.into_server(*whole).returncode, 0)
    before = int(lost.points["time"].rpartition(" ")[2]) - STEP
    lost.expect("rows of the dump", _count(stage.cluster.target("shop_back")), before)
    _execute(stage.cluster.target(DATABASE), "DROP TABLE users CASCADE")
    back = lost.into_server("--table", "public.users", "--yes")
    lost.expect(f"one table ({back.stderr.strip()[-200:]})", back.returncode, 0)
    lost.expect("rows of the table", _count(stage.cluster.target(DATABASE), "users"), 500)
    again = lost.into_server("--table", "public.users", "--yes")
    lost.expect_refused("a table that is there", again, 3, "is in shop already")


def _points(context: Context, lost: _Lost) -> None:
    for name in QUICK_POINTS if context.quick else POINTS:
        at, _, rows = lost.points[name].rpartition(" ")
        folder = context.folder / "back" / name
        into = ("--of", f"@{DATABASE}", "--data-dir", str(folder / "data"), "--yes")
        ran = lost.restore(*into, "--at", at)
        lost.expect(f"{name} ({ran.stderr.strip()[-300:]})", ran.returncode, 0)
        if ran.returncode == 0:
            lost.expect(f"rows at {name}", _started_and_counted(folder), int(rows))
        if name == "latest":
            again = lost.restore(*into)
            lost.expect_refused("over a data folder", again, 3, "is not empty: it holds PG_VERSION")
        shutil.rmtree(folder, ignore_errors=True)


def _holes(context: Context, lost: _Lost) -> None:
    """A segment in the middle is gone: what is behind it is refused, by the segment's name."""
    folder = lost.stage.backups / f"@{DATABASE}" / "wal"
    segments = sorted(path for path in folder.glob("[0-9A-F]*.zst") if ".history" not in path.name)
    gone = segments[-1]
    name = gone.name.removesuffix(".zst")
    gone.rename(context.folder / gone.name)
    hole = context.folder / "back" / "hole"
    target = ("--of", f"@{DATABASE}", "--data-dir", str(hole / "data"), "--yes")
    latest = lost.restore(*target)
    lost.expect_refused("latest over a hole", latest, 3, f"WAL segment {name} is missing")
    lost.expect("what a refusal leaves", hole.exists(), False)
    at, _, rows = lost.points["time"].rpartition(" ")
    before = lost.restore(*target, "--at", at)
    lost.expect(f"before a hole ({before.stderr.strip()[-300:]})", before.returncode, 0)
    if before.returncode == 0:
        counted = _started_and_counted(hole)
        lost.expect("rows before a hole", counted, int(rows))


def _started_and_counted(folder: Path) -> int:
    """Start what was handed back as `pg_ctl` does, on a socket of its own, and count."""
    processes = Processes()
    cluster = EmbeddedCluster(folder, server_tools(processes), processes)
    cluster.socket_dir.mkdir(mode=0o755)
    if account := account_for_postgres():
        shutil.chown(folder, account)
        shutil.chown(cluster.socket_dir, account)
    with (cluster.data_dir / "postgresql.conf").open("a") as conf:
        conf.write(f"unix_socket_directories = '{cluster.socket_dir}'\n")
    try:
        cluster.start()
        return _count(cluster.target(DATABASE))
    finally:
        cluster.stop()
        processes.end_all()


def _count(target: Target, table: str = "orders") -> int:
    with psycopg.connect(**target.conninfo(), autocommit=True) as link:
        row = link.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None, table
        return int(row[0])


def _execute(target: Target, *statements: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as link:
        for statement in statements:
            link.execute(statement.encode())


ROWS: tuple[Row, ...] = (
    Row(
        name="restore-logical",
        claim="A dump comes back about as fast as by pg_restore alone, and proven",
        goal=f"<= {RATIO_GOAL} x pg_restore -j{JOBS} plus {FIXED_S:g} s, every digest equal",
        run=restore_logical,
        alone=True,
    ),
    Row(
        name="restore-offline",
        claim="With the daemon killed and its state deleted everything can be restored",
        goal="each row count exact; holes, a wrong key and what is there are refused by name",
        run=restore_offline,
    ),
)
