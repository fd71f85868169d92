"""Owns the row that drills leave production alone: tablespaces, a subscription and its slot."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proofs.backup.drillyard import BOTH, FILL, Yard, asked, yard
from proofs.rig import scratch_cluster
from proofs.table import Context, Outcome
from proofs.waiting import until
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster


def tablespaces(context: Context) -> Outcome:
    """Drill a subscriber with two tablespaces, and look at every file and slot it has."""
    trials = context.count(full=20, quick=2)
    with _publisher(context.folder) as publisher, _subscriber(context.folder, publisher) as y:
        before, slots = _files_of(y), _slots(publisher)
        problems = []
        for number in range(trials):
            kind = BOTH[number % 3 == 2]
            drill = y.drill(kind)
            if drill.outcome != "passed":
                problems.append(f"{kind}: {drill.error}")
        problems += _changes(before, _files_of(y))
        if _slots(publisher) != slots:
            problems.append("the publisher's slots changed")
        problems += _still_replicates(y, publisher)
        problems += _late_tablespace(y, context.folder)
    measured = f"{trials} drills, {len(before)} files compared, {len(problems)} problems"
    return Outcome(measured, ok=not problems, note="; ".join(problems[:5]))


@contextlib.contextmanager
def _publisher(folder: Path) -> Iterator[EmbeddedCluster]:
    processes = Processes()
    with scratch_cluster(folder / "publisher", processes) as cluster:
        info = cluster.target().conninfo()
        asked(info, "ALTER SYSTEM SET wal_level = 'logical'")
        cluster.stop()
        cluster.start()
        asked(
            info,
            "CREATE TABLE feed (id int PRIMARY KEY)",
            "INSERT INTO feed SELECT generate_series(1, 1000)",
            "CREATE PUBLICATION news FOR TABLE feed",
        )
        yield cluster
        processes.end_all()


@contextlib.contextmanager
def _subscriber(folder: Path, publisher: EmbeddedCluster) -> Iterator[Yard]:
    """Production: two tablespaces, a subscription, all backups taken, then left alone."""
    with yard(folder, production={"autovacuum": "off"}) as y, y.receiving():
        for name in ("fast", "slow"):
            _new_tablespace(y, folder, name)
        y.run(
            *FILL,
            "ALTER TABLE goods SET TABLESPACE fast",
            "CREATE TABLE archive TABLESPACE slow AS SELECT * FROM goods",
            "CREATE TABLE feed (id int PRIMARY KEY)",
            f"CREATE SUBSCRIPTION morning CONNECTION 'host={publisher.socket_dir} user=postgres"
            " dbname=postgres' PUBLICATION news",
        )
        until(lambda: y.run("SELECT count(*) FROM feed") == [(1000,)], 30, "the first copy")
        y.canary.write()
        y.back_up("dump")
        y.back_up("base")
        asked(publisher.target().conninfo(), "INSERT INTO feed SELECT generate_series(1001, 2000)")
        until(lambda: y.run("SELECT count(*) FROM feed") == [(2000,)], 30, "the changes")
        y.run("VACUUM FREEZE", "CHECKPOINT")
        y.canary.write()
        y.wait_received()
        yield y


def _new_tablespace(y: Yard, folder: Path, name: str) -> None:
    place = folder / name
    place.mkdir(mode=0o700)
    with contextlib.suppress(LookupError, PermissionError):
        shutil.chown(place, "postgres")
    y.run(f"CREATE TABLESPACE {name} LOCATION '{place}'")


def _files_of(y: Yard) -> dict[str, str]:
    """Hashes of everything in the tablespaces, and of users' relations and settings in the rest."""
    y.run("CHECKPOINT")
    root = y.production.data_dir
    places = [p for link in (root / "pg_tblspc").iterdir() for p in link.resolve().rglob("*")]
    own = [p for p in (root / "base").rglob("*") if p.name.split("_")[0].isdigit()]
    users = [p for p in own if int(p.name.split("_")[0].split(".")[0]) >= 16384]
    settings = [*root.glob("*.conf")]
    canary = str(y.run("SELECT pg_relation_filepath('shippyard.canary')")[0][0])
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*places, *users, *settings]
        if path.is_file() and not str(path).endswith(canary)
    }


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return [f"{name} changed" for name in names]


def _slots(publisher: EmbeddedCluster) -> list[tuple[Any, ...]]:
    """The slot, who uses it, and how far it is."""
    question = "SELECT slot_name, active, active_pid FROM pg_replication_slots ORDER BY 1"
    return asked(publisher.target().conninfo(), question)


def _still_replicates(y: Yard, publisher: EmbeddedCluster) -> list[str]:
    """What a copy had taken from the slot would be missing here."""
    asked(publisher.target().conninfo(), "INSERT INTO feed SELECT generate_series(2001, 3000)")
    try:
        until(lambda: y.run("SELECT count(*) FROM feed") == [(3000,)], 30, "the feed")
    except AssertionError:
        return [f"{y.run('SELECT count(*) FROM feed')} of 3000 rows came after the drills"]
    return []


def _late_tablespace(y: Yard, folder: Path) -> list[str]:
    """A tablespace made after the backup is replayed by WAL, at production's own place."""
    _new_tablespace(y, folder, "late")
    y.run("CREATE TABLE fresh TABLESPACE late AS SELECT * FROM goods")
    y.wait_received()
    before = _files_of(y)
    drill = y.drill("base")
    problems = _changes(before, _files_of(y))
    if drill.outcome != "failed" or "tablespace" not in (drill.error or ""):
        problems.append(f"a late tablespace: {drill.outcome}, {drill.error}")
    y.back_up("base")
    if (after := y.drill("base")).outcome != "passed":
        problems.append(f"after another backup: {after.error}")
    return problems
