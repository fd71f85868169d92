"""Owns the row on a dump's restore beside pg_restore: the same data, one run, turn by turn."""

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from proofs.backup import shelf as bench
from proofs.table import Context, CouldNotRun, Outcome
from shippyard.backup.digest import take_again, take_content
from shippyard.backup.restore.compare import content_differences
from shippyard.backup.restore.logical import restore_dump
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

RATIO_GOAL = 1.15
FIXED_S = 2.0
"""For what does not grow with the data: looking, listing, roles, settings."""
JOBS = 2
TIMEOUT_S = 1800.0
WORDY = (
    "CREATE TABLE events (id uuid PRIMARY KEY, at timestamptz, body jsonb, note text);"
    " INSERT INTO events SELECT md5(n::text)::uuid, now(),"
    " jsonb_build_object('n', n, 'tags', ARRAY[md5((n*7)::text), md5((n*11)::text)]),"
    " repeat(md5((n*13)::text), 4) FROM generate_series(1, {rows}) n;"
    " CREATE INDEX ON events (at)"
)
"""Beside pgbench's tables: rows that compress as an application's do."""
CALM = {"autovacuum": "off", "max_wal_size": "16GB", "checkpoint_timeout": "1h"}
"""Nothing but the two that are measured works on the server."""


def restore_logical(context: Context) -> Outcome:
    """Our restore of a dump beside `pg_restore -j2` of the same data, in one run."""
    scale = context.count(full=80, quick=2)
    rows = context.count(full=500_000, quick=10_000)
    processes = Processes()
    tools = server_tools(processes)
    with bench.shelf(context.folder, tools, content="SELECT 1", settings=CALM) as stage:
        _fill(stage, scale, rows)
        context.say(f"pgbench scale {scale} and {rows} rows; taking the backup")
        folder = stage.take("dump")
        manifest = stage.seal.read(folder)
        plain = context.folder / "plain.dump"
        _pg_dump(stage, plain)
        theirs, ours = [], []
        for turn in range(context.count(full=2, quick=1)):
            other, mine = f"theirs_{turn}", f"ours_{turn}"
            # Each is second once: what one leaves to be written slows the next.
            for name in (other, mine) if turn % 2 else (mine, other):
                stage.execute("CHECKPOINT")
                if name == other:
                    theirs.append(_pg_restore(stage, plain, name))
                else:
                    ours.append(_our_restore(context, stage, folder, name))
            context.say(f"pg_restore {theirs[-1]:.1f} s, ours {ours[-1]:.1f} s")
            differences = _differences(stage.target, replace(stage.target, dbname=mine))
            stage.execute(f"DROP DATABASE {other}", f"DROP DATABASE {mine}", dbname="postgres")
            if differences:
                return Outcome("the content differs", ok=False, note="; ".join(differences[:5]))
    ratio = median(ours) / median(theirs)
    measured = (
        f"{ratio:.2f} x the wall time ({median(ours):.1f} s beside {median(theirs):.1f} s of "
        f"pg_restore -j{JOBS}, {manifest.size_bytes / 1e6:.0f} MB kept), hashes included; "
        "every digest equal"
    )
    return Outcome(measured, ok=median(ours) <= RATIO_GOAL * median(theirs) + FIXED_S)


def _fill(stage: bench.Shelf, scale: int, rows: int) -> None:
    """The data of a small application: pgbench's tables, and rows with words."""
    argv = [stage.tools.path("pgbench"), "-i", "-q", f"--scale={scale}"]
    place = [f"--host={stage.target.host}", f"--port={stage.target.port}", "-U", "postgres"]
    done = stage.processes.run([*argv, *place, bench.DATABASE], timeout_s=TIMEOUT_S)
    if done.returncode:
        raise CouldNotRun(f"pgbench: {done.reason()}")
    stage.execute(*(each.strip() for each in WORDY.format(rows=rows).split(";")))


def _pg_dump(stage: bench.Shelf, file: Path) -> None:
    argv = [stage.tools.path("pg_dump"), "-Fc", f"--file={file}", *stage.target.arguments()]
    done = stage.processes.run(argv, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.reason()


def _our_restore(context: Context, stage: bench.Shelf, folder: Path, dbname: str) -> float:
    """Seconds that our restore takes, its hashes included."""
    began = time.monotonic()
    restore_dump(
        folder,
        stage.seal.read(folder),
        replace(stage.target, dbname=dbname),
        processes=stage.processes,
        tools=stage.tools,
        jobs=JOBS,
        timeout_s=TIMEOUT_S,
        scratch=context.folder,
    )
    return time.monotonic() - began


def _pg_restore(stage: bench.Shelf, file: Path, dbname: str) -> float:
    """Seconds that the plain command takes."""
    stage.execute(f"CREATE DATABASE {dbname} TEMPLATE template0", dbname="postgres")
    into = replace(stage.target, dbname=dbname)
    argv = [stage.tools.path("pg_restore"), f"-j{JOBS}", *into.arguments(), str(file)]
    done = stage.processes.run(argv, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.reason()
    return done.elapsed_s


def _differences(source: Target, restored: Target) -> list[str]:
    """What a whole read of both finds."""
    clock = SystemClock()
    wanted = take_content(source, clock, mode="all", sample_rows=1, timeout_s=TIMEOUT_S)
    return content_differences(wanted, take_again(restored, wanted, clock, timeout_s=TIMEOUT_S))
