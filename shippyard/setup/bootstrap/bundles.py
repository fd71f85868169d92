"""Owns turning privileges into as few statements as say them, and into words. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from psycopg import sql

from shippyard.setup.bootstrap.model import PUBLIC, Grant, trusted

LATER = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS"}
ORDER = ("SELECT", "INSERT", "UPDATE", "DELETE")
NAMED = 2

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Bundle:
    """The same privileges of some roles on some things of a kind; `first` stands for them all."""

    first: Grant
    privileges: tuple[str, ...]
    things: tuple[str, ...]
    grantees: tuple[str, ...]

    def given(self, owner: str) -> sql.Composed:
        """The statement that grants it; `owner` is who makes what comes later."""
        return self._head(owner) + sql.SQL("GRANT {} ON {} TO {}").format(*self._parts())

    def taken(self, owner: str, option: str = "") -> sql.Composed:
        """The statement that revokes it, or only the option to pass it on."""
        text = trusted(f"REVOKE {option}{{}} ON {{}} FROM {{}}")
        return self._head(owner) + sql.SQL(text).format(*self._parts())

    def told(self, may: str) -> str:
        """In words: who may what on which things."""
        column = f" ({self.first.column})" if self.first.column else ""
        who, what = ", ".join(self.grantees), ", ".join(self.privileges)
        return f"{who} {may} {what}{column} on {self._named()}"

    def _named(self) -> str:
        if self.first.kind == "DEFAULT":
            later = f"{LATER[self.first.thing].lower()} that come"
            return f"{later} in {self.first.schema}" if self.first.schema else later
        rest = len(self.things) - NAMED
        more = f" and {rest} more" if rest > 0 else ""
        return f"{self.first.kind.lower()} {', '.join(self.things[:NAMED])}{more}"

    def _head(self, owner: str) -> sql.Composed:
        if self.first.kind != "DEFAULT":
            return sql.Composed([])
        head = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} ").format(sql.Identifier(owner))
        if self.first.schema:
            head += sql.SQL("IN SCHEMA {} ").format(sql.Identifier(self.first.schema))
        return head

    def _parts(self) -> tuple[sql.Composable, sql.Composable, sql.Composable]:
        roles = (sql.SQL(PUBLIC) if n == PUBLIC else sql.Identifier(n) for n in self.grantees)
        return self._words(), self._objects(), sql.SQL(", ").join(roles)

    def _words(self) -> sql.Composable:
        if self.first.kind != "COLUMN":
            return sql.SQL(trusted(", ".join(self.privileges)))
        column = sql.SQL(" ({})").format(sql.Identifier(self.first.column))
        return sql.SQL(", ").join(sql.SQL(trusted(each)) + column for each in self.privileges)

    def _objects(self) -> sql.Composable:
        kind = self.first.kind
        if kind == "DEFAULT":
            return sql.SQL(trusted(LATER[self.first.thing]))
        if kind in {"DATABASE", "SCHEMA"}:
            names = sql.SQL(", ").join(map(sql.Identifier, self.things))
            return sql.SQL(trusted(f"{kind} ")) + names
        word = "TABLE" if kind == "COLUMN" else kind
        return sql.SQL(trusted(f"{word} {', '.join(self.things)}"))


def bundled(grants: Iterable[Grant]) -> Iterator[Bundle]:
    """Privileges of one role on one thing first, then things alike, then roles alike."""
    privileges = _gathered((_without_privilege(grant), grant.privilege) for grant in grants)
    things = _gathered(
        ((_without_thing(grant), _in_order(held)), grant.thing)
        for grant, held in sorted(privileges.items())
    )
    roles = _gathered(
        ((replace(grant, grantee=""), held, tuple(names)), grant.grantee)
        for (grant, held), names in things.items()
    )
    for (first, held, names), grantees in roles.items():
        yield Bundle(first, held, names, tuple(sorted(grantees)))


def _gathered(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _without_privilege(grant: Grant) -> Grant:
    return replace(grant, privilege="", grantable=False)


def _without_thing(grant: Grant) -> Grant:
    """Default privileges and columns are named one by one: their thing stays."""
    return grant if grant.kind in {"DEFAULT", "COLUMN"} else replace(grant, thing="", schema="")


def _in_order(privileges: Iterable[str]) -> tuple[str, ...]:
    known = {name: place for place, name in enumerate(ORDER)}
    return tuple(sorted(privileges, key=lambda each: (known.get(each, len(known)), each)))
