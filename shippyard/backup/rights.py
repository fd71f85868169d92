"""Owns what a backup role must be allowed, and the exact statements that allow it.

What it may is asked by rights.sql; what follows is pure. The statements are for a superuser, in
the database that is backed up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.backup.model import Kind
from shippyard.backup.source import Asking

NAMED = 3

_QUESTION = Path(__file__).with_name("rights.sql").read_text()


@dataclass(frozen=True)
class Rights:
    """What a role may not do in one database; its name and the database's are quoted for SQL.

    `tables`, `sequences` and `large_objects` are those it can't read; of `filtered_tables` it
    would see some rows only.
    """

    role: str
    database: str
    is_superuser: bool
    may_replicate: bool
    tables: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    filtered_tables: tuple[str, ...] = ()
    large_objects: int = 0
    may_read_passwords: bool = True


@dataclass(frozen=True)
class Lack:
    """One thing that is missing, and the statement that gives it."""

    what: str
    remedy: str


def look_at_rights(session: Asking) -> Rights:
    """What the session's role may not do in its database.

    Raises:
        QueryFailed: the server gave no answer.
    """
    return Rights(**{key: _frozen(value) for key, value in session.query(_QUESTION)[0].items()})


def lacks(rights: Rights, kind: Kind, *, with_passwords: bool = False) -> list[Lack]:
    """What is missing for a backup of this kind; empty when nothing is."""
    if kind == "base":
        return _replication(rights)
    found = _reading(rights)
    if kind == "dump":
        found += [*_filtering(rights), *_large_objects(rights)]
        found += _passwords(rights) if with_passwords else []
    return found


def refusal(rights: Rights, missing: Sequence[Lack]) -> str | None:
    """All that is missing and all that is to be run, as one line; None when nothing is missing."""
    if not missing:
        return None
    whats = ", ".join(lack.what for lack in missing)
    remedies = "; ".join(lack.remedy for lack in missing)
    return f"permission denied: role {rights.role} {whats}; as a superuser run: {remedies}"


def _reading(rights: Rights) -> list[Lack]:
    unread = [
        *_counted("can't read", "table", rights.tables),
        *_counted("can't read", "sequence", rights.sequences),
    ]
    remedy = f"GRANT pg_read_all_data TO {rights.role}"
    return [Lack(" and ".join(unread), remedy)] if unread else []


def _filtering(rights: Rights) -> list[Lack]:
    seen = _counted(
        "would see only some rows (row-level security) of", "table", rights.filtered_tables
    )
    return [Lack(each, f"ALTER ROLE {rights.role} BYPASSRLS") for each in seen]


def _large_objects(rights: Rights) -> list[Lack]:
    if not rights.large_objects:
        return []
    # A grant on each would not hold for the next one that is made.
    return [
        Lack(
            f"can't read {_plural(rights.large_objects, 'large object')} of other roles",
            f"ALTER ROLE {rights.role} IN DATABASE {rights.database} SET lo_compat_privileges = on",
        )
    ]


def _passwords(rights: Rights) -> list[Lack]:
    if rights.may_read_passwords:
        return []
    return [
        Lack(
            "can't read the roles' password verifiers (backup.dump.role_passwords)",
            f"GRANT SELECT ON pg_catalog.pg_authid TO {rights.role}",
        )
    ]


def _replication(rights: Rights) -> list[Lack]:
    if rights.may_replicate:
        return []
    return [Lack("may not replicate", f"ALTER ROLE {rights.role} REPLICATION")]


def _counted(words: str, noun: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    listed = ", ".join(names[:NAMED])
    return [f"{words} {_plural(len(names), noun)} ({listed}{more})"]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
