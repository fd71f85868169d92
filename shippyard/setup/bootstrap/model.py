"""Owns the words of a bootstrap: a right, a statement to run, and what is not as it should be."""

from dataclasses import dataclass, field
from typing import Literal, LiteralString

from psycopg import sql

PUBLIC = "PUBLIC"
BOOKKEEPING_SCHEMA = "shippyard"
VERSION_TABLE = ("public", "alembic_version")
CANARY_TABLE = (BOOKKEEPING_SCHEMA, "canary")

Kind = Literal["DATABASE", "SCHEMA", "TABLE", "COLUMN", "SEQUENCE", "ROUTINE", "DEFAULT"]


class BootstrapRefused(Exception):
    """Config can't be followed, or the server refused; one line that says what to do."""


class ServerUnreachable(BootstrapRefused):
    """No connection to a server."""


class NotPermitted(BootstrapRefused):
    """The server says that the administrator may not."""


@dataclass(frozen=True, order=True)
class Grant:
    """One privilege of one role on one thing.

    `thing` is SQL as the server quotes it, but a bare name for DATABASE and SCHEMA, and the letter
    of pg_default_acl.objtype for DEFAULT. `schema` is "" for what is in none.
    """

    kind: Kind
    schema: str
    thing: str
    grantee: str
    privilege: str
    column: str = ""
    grantable: bool = False


@dataclass(frozen=True)
class Step:
    """One statement of a plan. `dbname` is None for what holds in the whole server.

    `is_excess` says that it takes something away, from PUBLIC or from who should own nothing.
    `password` is plain, only ever in memory; it goes to the server as a SCRAM verifier.
    """

    what: str
    statement: sql.Composed
    dbname: str | None = None
    password: str | None = field(default=None, repr=False)
    is_excess: bool = False

    @property
    def shown(self) -> str:
        """The statement as a person may see it: a password is masked."""
        text = self.statement.as_string()
        return f"{text} PASSWORD '…';" if self.password else f"{text};"


@dataclass(frozen=True)
class Drift:
    """One thing that is not as config wants it, with the statement that mends it."""

    kind: Literal["missing", "too much"]
    what: str
    mend: str
    dbname: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done on one server, in order, and what only a person may undo."""

    cluster: str
    server: str
    steps: tuple[Step, ...]
    flaws: tuple[Drift, ...]
    notes: tuple[str, ...]

    @property
    def drift(self) -> tuple[Drift, ...]:
        """All that is not as it should be: what a plan mends, and what it leaves alone."""
        return (*map(_as_drift, self.steps), *self.flaws)


def _as_drift(step: Step) -> Drift:
    kind: Literal["missing", "too much"] = "too much" if step.is_excess else "missing"
    return Drift(kind, step.what, step.shown, step.dbname)


def said(text: str, *names: str) -> sql.Composed:
    """SQL with identifiers in its braces."""
    return sql.SQL(trusted(text)).format(*map(sql.Identifier, names))


def trusted(text: str) -> LiteralString:
    """Text of ours, or quoted by the server itself."""
    ours: LiteralString = text
    return ours
