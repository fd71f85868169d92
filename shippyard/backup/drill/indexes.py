"""Owns reading every index and table of a restored cluster for damage, by pg_amcheck."""

from pathlib import Path

from shippyard.backup.drill.bench import Work
from shippyard.backup.drill.model import DrillInterrupted
from shippyard.host.process import ProcessTimedOut
from shippyard.postgres.session import session
from shippyard.postgres.target import Target

PROGRAM = "pg_amcheck"
CORRUPT = 2
SHOWN = 3
_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"


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
    try:
        done = work.bench.processes.run(
            _argv(program, target, work.bench.config.backup.dump.jobs),
            timeout_s=work.left_s,
            env=target.environment(),
            on_tick=work.tick,
        )
    except ProcessTimedOut:
        raise DrillInterrupted("amcheck ran past backup.drill.timeout_s; raise it") from None
    work.tick()
    problems: list[str] = []
    if done.returncode == CORRUPT:
        problems = _found(done.stdout) or [done.reason()]
    elif done.returncode:
        problems = [f"{PROGRAM}: {done.reason()}"]
    work.look("indexes and tables, by amcheck", problems)


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
