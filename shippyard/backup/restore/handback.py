"""Owns what a person is given after a restore: how to reach it and switch over, what is missing.

Pure but for `look_after`, which asks the restored database. Runs none of the commands it gives.
"""

import getpass
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.physical import LaidOut
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.postgres.writing import quoted_name, quoted_text

SERVER_USER = "postgres"
"""Who runs a server that a distribution installed."""
BY_HAND = "yourself: "
"""What stands before a statement in a note that a person is to run."""

_SUBSCRIPTIONS = (
    "SELECT s.subname AS name FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = current_database() ORDER BY 1"
)


_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {};"


@dataclass(frozen=True)
class Handback:
    """How to go on. `reach` is a command; `commands` are in order, comments between them."""

    reach: str
    commands: tuple[str, ...]
    not_restored: tuple[str, ...]


def after_dump(manifest: Manifest, into: Target, notes: Sequence[str]) -> Handback:
    """After a whole dump: the database is there under its name, or under another one."""
    was = manifest.source.dbname
    commands = [f"vacuumdb --analyze-in-stages {_at(into)} {shlex.quote(into.dbname)}"]
    if into.dbname != was:
        commands += [
            f"# to make it {was}, stop what uses {was}, then in psql -d postgres:",
            f"ALTER DATABASE {quoted_name(was)} WITH ALLOW_CONNECTIONS false;",
            _END_SESSIONS.format(quoted_text(was)),
            f"ALTER DATABASE {quoted_name(was)} RENAME TO {quoted_name(f'{was}_before_restore')};",
            f"ALTER DATABASE {quoted_name(into.dbname)} RENAME TO {quoted_name(was)};",
        ]
    commands.append(f"shippyard ctl backup run {manifest.database}")
    return Handback(_psql(into), tuple(commands), _not_restored(notes))


def after_part(into: Target, what: str, notes: Sequence[str]) -> Handback:
    """After one table or schema."""
    commands = [f"vacuumdb --analyze-only {_at(into)} {shlex.quote(into.dbname)}"]
    said = [note.partition(BY_HAND) for note in notes]
    commands += [statement for _, by_hand, statement in said if by_hand]
    others = [note for note, by_hand, _ in said if not by_hand]
    return Handback(_psql(into), tuple(commands), (f"nothing but {what}", *others))


def after_files(
    laid: LaidOut, tools: Tools, account: str | None, subject: str, notes: Sequence[str]
) -> Handback:
    """After a base backup and WAL: the server was stopped again, whole and promoted.

    Without `account` the files are ours, and PostgreSQL starts on files of its own user only.
    """
    data_dir = shlex.quote(str(laid.data_dir))
    start = f"sudo -u {account or SERVER_USER} {tools.path('pg_ctl')} --pgdata={data_dir}"
    given = []
    if account is None and getpass.getuser() != SERVER_USER:
        folders = " ".join(shlex.quote(str(each)) for each in laid.tablespaces.values())
        given = [
            f"sudo chown -R {SERVER_USER}: {data_dir} {folders}".rstrip()
            + f"  # whose files are {getpass.getuser()}'s now; before it is started"
        ]
    commands = [
        *given,
        f"{start} --wait start",
        f"# or as a service, where its data_directory is {laid.data_dir}:",
        f"systemctl start postgresql@{tools.major}-main",
        "# it is on a timeline of its own, and no older backup leads to it; so at once:",
        f"shippyard ctl backup run {subject}",
    ]
    return Handback(commands[0], tuple(commands[1:]), tuple(notes))


def look_after(into: Target) -> list[str]:
    """What is there and does not work yet: subscriptions, which a restore leaves disabled.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(into, "restore") as opened:
        names = [row["name"] for row in opened.query(_SUBSCRIPTIONS)]
    return [
        f"subscription {name} is disabled; when it may follow again: "
        f"ALTER SUBSCRIPTION {quoted_name(name)} ENABLE"
        for name in names
    ]


def _not_restored(notes: Sequence[str]) -> tuple[str, ...]:
    passwords = "passwords of roles: set them with \\password ROLE in psql"
    return (passwords, *notes) if any("roles made" in note for note in notes) else tuple(notes)


def _psql(into: Target) -> str:
    return f"psql {_at(into)} -d {shlex.quote(into.dbname)}"


def _at(into: Target) -> str:
    return f"-h {shlex.quote(into.host)} -p {into.port} -U {shlex.quote(into.user)}"
