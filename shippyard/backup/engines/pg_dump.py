"""Owns pg_dump and pg_restore: their arguments, how their ends are read, and the full decode.

A password is in the environment or a passfile, never in an argument. pg_dump sets
`row_security = off` itself (unless told otherwise), so rows hidden by a policy are an error and
never a smaller dump.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from shippyard.backup.model import Kind
from shippyard.host.process import Completed, Processes, ProcessTimedOut
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

FILE_MODE = 0o600
REASON_CHARS = 400
VERSION_TIMEOUT_S = 10.0
END_MARKER = b"\n-- PostgreSQL database dump complete\n"
# After the marker stands at most an `\unrestrict` line with its key.
TAIL_BYTES = 1024

# What PostgreSQL says, and what mends it. pg_dump waits for locks under a statement timeout.
REMEDIES = {
    "permission denied": "run: GRANT pg_read_all_data TO {user}",
    "row-level security": "run: ALTER ROLE {user} BYPASSRLS",
    "statement timeout": "a table stayed locked; see who holds it with `shippyard ctl health`",
}


class DumpFailed(Exception):
    """The program did not do its work; the message is one line in PostgreSQL's own words."""


def artifact_name(database: str, kind: Kind) -> str:
    """The artifact's file name inside its folder."""
    return f"{database}.dump" if kind == "dump" else "schema.sql"


def dump_argv(
    tools: Tools, target: Target, kind: Kind, file: Path, lock_wait_timeout_s: float
) -> list[str]:
    """The command that writes `file`: all of the database, or its schema as SQL."""
    shape = ["--format=custom"] if kind == "dump" else ["--format=plain", "--schema-only"]
    return [
        tools.path("pg_dump"),
        *shape,
        f"--file={file}",
        f"--lock-wait-timeout={int(lock_wait_timeout_s * 1000)}",
        *target.arguments(),
    ]


def tool_version(processes: Processes, tools: Tools) -> str:
    """What pg_dump calls itself."""
    done = processes.run([tools.path("pg_dump"), "--version"], timeout_s=VERSION_TIMEOUT_S)
    return done.stdout.strip()


def write_artifact(
    processes: Processes,
    argv: list[str],
    target: Target,
    file: Path,
    *,
    timeout_s: float,
    on_size: Callable[[int], None],
) -> None:
    """Run pg_dump to its end. `on_size` is told the file's size about five times a second.

    Raises:
        DumpFailed: it failed, was ended, or ran past `timeout_s`.
        ProcessesStopped, OSError: it could not be started.
    """
    # Made by us first, closed to others: pg_dump would take its mode from the umask.
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    env = target.environment() | {"PGAPPNAME": "shippyard:backup"}
    done = _run(processes, argv, timeout_s, env, lambda: on_size(file.stat().st_size))
    if done.returncode:
        raise DumpFailed(_with_remedy(_reason(done), target.user))


def undecodable(processes: Processes, tools: Tools, file: Path, timeout_s: float) -> str | None:
    """What is wrong with an artifact after all of it was decoded; None when nothing is.

    Raises:
        DumpFailed: the decode itself was ended, which says nothing of the artifact.
        ProcessesStopped, OSError: it could not be started.
    """
    if file.suffix == ".sql":
        return _without_end(file)
    argv = [tools.path("pg_restore"), "--file=/dev/null", str(file)]
    done = _run(processes, argv, timeout_s, {}, None)
    return _reason(done) if done.returncode else None


def _without_end(file: Path) -> str | None:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
        tail = opened.read()
    return None if END_MARKER in tail else "the end of the dump is missing"


def _run(
    processes: Processes,
    argv: list[str],
    timeout_s: float,
    env: dict[str, str],
    on_tick: Callable[[], None] | None,
) -> Completed:
    program = Path(argv[0]).name
    try:
        done = processes.run(argv, timeout_s=timeout_s, env=env, on_tick=on_tick)
    except ProcessTimedOut:
        raise DumpFailed(
            f"{program} was ended after {timeout_s:g} s; raise backup.timeout_s if it needs longer"
        ) from None
    # On SIGTERM pg_dump says so and exits 1; before it listens, and pg_restore, by the signal.
    if done.returncode == -signal.SIGTERM or "terminated by user" in done.stderr:
        raise DumpFailed(f"stopped: {program} was asked to end")
    if done.returncode < 0:
        raise DumpFailed(f"{program} was killed by signal {-done.returncode}")
    return done


def _reason(done: Completed) -> str:
    """The first error the program wrote and its detail, as one line."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    said = [line for line in lines if ": error: " in line][:1]
    said += [line for line in lines if ": detail: " in line][:1] if said else []
    text = "; ".join(line.split(": ", 2)[2] for line in said) or done.reason()
    return one_line(Exception(text))[:REASON_CHARS]


def _with_remedy(reason: str, user: str) -> str:
    for symptom, remedy in REMEDIES.items():
        if symptom in reason:
            return f"{reason}; {remedy.format(user=user)}"
    return reason
