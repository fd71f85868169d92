"""Owns the small programs around a restore: an archive's contents, its SQL, scripts, sessions.

How an archive is loaded is next door, what may be restored where is decided above.
"""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.backup.restore.contents import Item, parse_contents
from shippyard.host.clock import Clock
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import QueryFailed, Unreachable, one_line, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.postgres.writing import quoted_name

Progress = Callable[[Mapping[str, Any]], None]
"""Told the phase, and in `message` how far it is, at most about five times a second."""

APPLICATION = "shippyard:restore"
LIST_TIMEOUT_S = 600.0
REASON_CHARS = 400

RIGHTS = (
    "must be superuser",
    "must be able to SET ROLE",
    "must be member of role",
    "permission denied",
)
"""What a server says when the role that restores may not do what the dump asks for."""
REMEDIES = {
    "does not exist": "is something that it needs missing on this server?",
    "No space left": "free some disk on the server, then begin again",
}


class RestoreFailed(Exception):
    """Nothing, or not all, was restored; the message is one line and says what is left where."""


class RestoreBlocked(RestoreFailed):
    """It can't be done as asked, which was found before anything was changed."""


class RestoreInterrupted(RestoreFailed):
    """Somebody asked for the restore to end; what it had made is said."""


@dataclass(frozen=True)
class Hands:
    """What a restore works with: programs, and the database they change."""

    processes: Processes
    tools: Tools
    into: Target
    clock: Clock


def contents_of(processes: Processes, tools: Tools, file: Path) -> list[Item]:
    """What the archive holds.

    Raises:
        RestoreFailed: pg_restore can't read it.
    """
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        listing = Path(folder) / "list"
        argv = [tools.path("pg_restore"), "--list", "--verbose", f"--file={listing}", str(file)]
        done = processes.run(argv, timeout_s=LIST_TIMEOUT_S)
        if done.returncode:
            raise RestoreFailed(f"{file.name} can't be read: {one_line(Exception(done.reason()))}")
        return parse_contents(listing.read_text())


def statements_for(processes: Processes, tools: Tools, file: Path, items: Iterable[Item]) -> str:
    """The SQL of some of the archive's items, without connecting to anything.

    Raises:
        RestoreFailed: pg_restore can't read it.
    """
    with tempfile.TemporaryDirectory(prefix="shippyard-restore-") as folder:
        out = Path(folder) / "sql"
        wanted = use_list(Path(folder), items)
        argv = [tools.path("pg_restore"), f"--file={out}", wanted, str(file)]
        done = processes.run(argv, timeout_s=LIST_TIMEOUT_S)
        if done.returncode:
            raise RestoreFailed(f"{file.name} can't be read: {one_line(Exception(done.reason()))}")
        return out.read_text()


def dump_schema(hands: Hands, schema: str, file: Path, timeout_s: float) -> None:
    """Dump one schema, which a restore has renamed, so that it can be put where it belongs.

    Raises:
        RestoreFailed: pg_dump failed.
    """
    argv = [
        hands.tools.path("pg_dump"),
        "--format=custom",
        "--compress=0",
        f"--schema={_pattern(schema)}",
        f"--file={file}",
        *hands.into.arguments(),
    ]
    _run(hands, argv, timeout_s)


def run_script(hands: Hands, script: Path, timeout_s: float) -> None:
    """Run an SQL script whole or not at all.

    Raises:
        RestoreFailed: a statement failed; nothing of it is left.
    """
    argv = [
        hands.tools.path("psql"),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        f"--file={script}",
        *hands.into.arguments(),
    ]
    _run(hands, argv, timeout_s)


def as_superuser(role: str) -> str:
    """What lets a role restore what only a superuser may, whichever command was typed."""
    name = quoted_name(role)
    return (
        f"as a superuser run: ALTER ROLE {name} SUPERUSER; then restore again, "
        f"and afterwards: ALTER ROLE {name} NOSUPERUSER"
    )


def with_remedy(reason: str, role: str) -> str:
    """What the server said to the role that restores, and what mends it where that is known."""
    if any(symptom in reason for symptom in RIGHTS):
        return f"{reason}; {as_superuser(role)}"
    for symptom, remedy in REMEDIES.items():
        if symptom in reason:
            return f"{reason}; {remedy}"
    return reason


def _run(hands: Hands, argv: list[str], timeout_s: float) -> None:
    program = Path(argv[0]).name
    env = hands.into.environment() | {"PGAPPNAME": APPLICATION}
    try:
        done = hands.processes.run(argv, timeout_s=timeout_s, env=env)
    except ProcessTimedOut:
        raise RestoreFailed(f"{program} was ended after {timeout_s:g} s") from None
    if done.returncode:
        said = one_line(Exception(done.reason()))[:REASON_CHARS]
        raise RestoreFailed(with_remedy(said, hands.into.user))


def _pattern(schema: str) -> str:
    """A schema's name where pg_dump expects a pattern."""
    return '"' + schema.replace('"', '""') + '"'


def use_list(folder: Path, items: Iterable[Item]) -> str:
    """Names the items by number. pg_restore works in the order of the list."""
    wanted = folder / "wanted"
    wanted.write_text("".join(f"{item.id}; 0 0 {item.text}\n" for item in items))
    return f"--use-list={wanted}"


def end_sessions(into: Target) -> None:
    """End what our programs left on the server: an index is built on by its session alone."""
    question = (
        # waits for each, because whoever asks next must find none
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = %(name)s"
        " AND pid <> pg_backend_pid()"
    )
    with contextlib.suppress(Unreachable, QueryFailed), session(into, "restore-end") as opened:
        opened.query(question, {"name": APPLICATION})


def absent_tablespaces(into: Target, names: Collection[str]) -> list[str]:
    """Those of the tablespaces that the server has not.

    Raises:
        Unreachable, QueryFailed: it gave no answer.
    """
    if not names:
        return []
    with session(into, "restore-look") as opened:
        there = {row["spcname"] for row in opened.query("SELECT spcname FROM pg_tablespace")}
    return sorted(set(names) - there)


def server_major(into: Target) -> int:
    """The major version of the server.

    Raises:
        Unreachable: there is none.
    """
    with session(into, "restore-look") as opened:
        return opened.server_version // 10_000
