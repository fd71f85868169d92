"""Owns what a server holds: reads its catalogs, and judges nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.setup.bootstrap.model import PUBLIC, Grant
from shippyard.setup.bootstrap.wanted import WantedCluster, WantedDatabase

Ask = Callable[[str, Mapping[str, Any] | None], Sequence[Mapping[str, Any]]]
"""Runs one question on a session and gives its rows."""


@dataclass(frozen=True)
class FoundRole:
    """A role as it is. `verifier` is what the server stores of its password."""

    attributes: frozenset[str]
    verifier: str | None


@dataclass(frozen=True)
class Membership:
    """That one role is in another, and whether it may let others in."""

    role: str
    member: str
    is_super: bool
    may_admit: bool


@dataclass(frozen=True)
class FoundCluster:
    """What belongs to the server as a whole. `settings` are (role, dbname, name) → value."""

    roles: Mapping[str, FoundRole]
    memberships: tuple[Membership, ...]
    settings: Mapping[tuple[str, str, str], str]
    owners: Mapping[str, str]


@dataclass(frozen=True)
class Thing:
    """Something in a schema that has an owner; `name` is quoted SQL."""

    kind: str
    schema: str
    name: str
    owner: str
    follows: bool


@dataclass(frozen=True)
class Unguarded:
    """Where row level security has a hole; `lacks` says which: ENABLE, FORCE or search_path."""

    name: str
    kind: str
    lacks: str


@dataclass(frozen=True)
class FoundDatabase:
    """What is in one database. `schemas` are name → owner."""

    schemas: Mapping[str, str]
    things: tuple[Thing, ...]
    grants: frozenset[Grant]
    unguarded: tuple[Unguarded, ...]


def read_cluster(ask: Ask) -> FoundCluster:
    """Roles, memberships, settings and databases, asked of any database of the server."""
    return FoundCluster(
        {
            row["name"]: FoundRole(frozenset(row["attributes"]), row["verifier"])
            for row in ask(_question("roles"), None)
        },
        tuple(Membership(**row) for row in ask(_question("members"), None)),
        {
            (row["role"], row["dbname"], row["name"]): row["value"]
            for row in ask(_question("settings"), None)
        },
        {row["dbname"]: row["owner"] for row in ask(_question("databases"), None)},
    )


def read_database(ask: Ask, wanted: WantedDatabase, cluster: WantedCluster) -> FoundDatabase:
    """What is in the database that the session is in."""
    schemas = list(wanted.managed)
    whose = {"schemas": schemas, "house": sorted(cluster.house), "owner": wanted.owner}
    return FoundDatabase(
        {row["name"]: row["owner"] for row in ask(_question("schemas"), None)},
        tuple(Thing(**row) for row in ask(_question("objects"), None)),
        frozenset(Grant(**row) for row in ask(_question("grants"), whose)),
        tuple(Unguarded(**row) for row in ask(_question("guards"), {"schemas": schemas})),
    )


def fresh_database(dbname: str) -> FoundDatabase:
    """What a database holds that was just made: what PostgreSQL lets everyone do, and no more."""
    return FoundDatabase(
        {"public": "pg_database_owner"},
        (),
        frozenset(
            {
                Grant("DATABASE", "", dbname, PUBLIC, "CONNECT"),
                Grant("DATABASE", "", dbname, PUBLIC, "TEMPORARY"),
                Grant("SCHEMA", "public", "public", PUBLIC, "USAGE"),
                Grant("DEFAULT", "", "f", PUBLIC, "EXECUTE"),
            }
        ),
        (),
    )


def _question(name: str) -> str:
    return Path(__file__).with_name(f"{name}_found.sql").read_text()
