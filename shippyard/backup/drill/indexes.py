"""Owns reading every index and table of a restored cluster for damage, by pg_amcheck."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shippyard.backup.drill.bench import Work
from shippyard.backup.drill.model import DrillInterrupted
from shippyard.host.process import Completed, ProcessTimedOut
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import writing_session

PROGRAM = "pg_amcheck"
CORRUPT = 2
SHOWN = 3
_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"
_DATABASES = "SELECT datname AS name FROM pg_database WHERE datallowconn"
_MISSING = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')"


def look_at_indexes(work: Work, target: Target) -> None:
    """Check every B-tree and heap of every database of the sandbox; its absence is noted.

    Raises:
        DrillInterrupted: the time ran out.
        Unreachable, QueryFailed: the sandbox gave no answer.
    """
    program = work.sandbox.tools.path(PROGRAM)
    with session(target, "drill") as opened:
        has_extension = bool(opened.query(_AVAILABLE))
    if not has_extension or not Path(program).is_file():
        work.findings.notes.append(
            "amcheck is not on this machine, so indexes were not read; install postgresql-contrib"
        )
        return
    with _left_as_it_was(target):
        done = _checked(work, program, target)
    work.tick()
    problems: list[str] = []
    if done.returncode == CORRUPT:
        problems = _found(done.stdout) or [done.reason()]
    elif done.returncode:
        problems = [f"{PROGRAM}: {done.reason()}"]
    work.look("indexes and tables, by amcheck", problems)


@contextlib.contextmanager
def _left_as_it_was(target: Target) -> Iterator[None]:
    """What the check installs is taken away again: a rehearsal needs production's very schema."""
    lacking = []
    with session(target, "drill") as opened:
        names = [str(row["name"]) for row in opened.query(_DATABASES)]
    for name in names:
        with session(replace(target, dbname=name), "drill") as opened:
            lacking += [name] if opened.query(_MISSING) else []
    yield
    for name in lacking:
        with writing_session(replace(target, dbname=name), "drill") as opened:
            opened.query("DROP EXTENSION IF EXISTS amcheck")


def _checked(work: Work, program: str, target: Target) -> Completed:
    try:
        return work.bench.processes.run(
            _argv(program, target, work.bench.config.backup.dump.jobs),
            timeout_s=work.left_s,
            env=target.environment(),
            on_tick=work.tick,
        )
    except ProcessTimedOut:
        raise DrillInterrupted("amcheck ran past backup.drill.timeout_s; raise it") from None


def _argv(program: str, target: Target, jobs: int) -> list[str]:
    return [
        program,
        f"--host={target.host}",
        f"--port={target.port}",
        f"--username={target.user}",
        "--no-password",
        f"--maintenance-db={target.dbname}",
        "--all",
        f"--jobs={jobs}",
        # The sandbox is a copy: it may be given what production has not.
        "--install-missing",
    ]


def _found(said: str) -> list[str]:
    """What is damaged: a line with the name, and the next one with what is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return [" ".join(pair) for pair in zip(lines[::2], lines[1::2], strict=False)][:SHOWN]
