"""Owns what relations a database has, by number and by name, and what became of their files.

A relation that another session can see is one that somebody may wait for; one that is still its
maker's own is not.
"""

import contextlib
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shippyard.postgres.session import QueryFailed, Session

RELATIONS_TIMEOUT_S = 30.0
LOOKUP_TIMEOUT_S = 1.0
NEW_MAX = 50_000

_RELATIONS_SQL = Path(__file__).with_name("relations.sql").read_text(encoding="utf-8")
_SIZES_SQL = """
SELECT oid::bigint AS oid, pg_table_size(oid) AS bytes
FROM pg_class WHERE oid = ANY (%(oids)s::bigint[]) AND relkind IN ('r', 'm', 'i')
"""
STORED = frozenset("rm")
INDEXES = frozenset("iI")


@dataclass(frozen=True)
class Relation:
    """A table, view or index: `kind` is PostgreSQL's letter, `file` the number of its file.

    `table_oid` is an index's table, `parents` those it is a partition of. `scans` counts full
    scans since the server counts, `rows_read` the rows that they read.
    """

    oid: int
    name: str
    kind: str
    table_oid: int | None
    parents: tuple[int, ...]
    file: int
    pages: int
    rows: float
    scans: int
    rows_read: int


Known = Mapping[int, Relation]


def read_relations(session: Session, oids: Sequence[int] | None = None) -> dict[int, Relation]:
    """All relations that others can see, or those of `oids`.

    Raises:
        QueryFailed: the server refused, or was lost.
    """
    limit_s = RELATIONS_TIMEOUT_S if oids is None else LOOKUP_TIMEOUT_S
    wanted = None if oids is None else list(oids)
    rows = session.query(_RELATIONS_SQL, {"oids": wanted}, timeout_s=limit_s)
    return {row["oid"]: _relation(row) for row in rows}


def sizes_bytes(session: Session, oids: Iterable[int]) -> dict[int, int]:
    """What the files of some relations take, by number; those of their indexes are not among them.

    Raises:
        QueryFailed: one of them is locked, or the server was lost.
    """
    rows = session.query(_SIZES_SQL, {"oids": list(oids)}, timeout_s=RELATIONS_TIMEOUT_S)
    return {row["oid"]: int(row["bytes"]) for row in rows}


class Names:
    """Finds relations by number, those too that come up while a recording goes on. Any thread."""

    def __init__(self, session: Session, known: Known) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._known: Known = known
        self._new: dict[int, Relation | None] = {}
        self._public_s: dict[int, float] = {}

    def meet(self, oids: Iterable[int]) -> None:
        """Look up what is new: it may be gone before anybody asks."""
        with self._lock:
            new = [oid for oid in oids if oid not in self._known and oid not in self._new]
            if new and len(self._new) < NEW_MAX:
                self._new.update(self._found(new))

    def settle(self, at_s: float) -> None:
        """Look again for what is new: it is committed by now, or has another name."""
        with self._lock:
            found = self._found(self._new)
            self._new.update({oid: each for oid, each in found.items() if each})
            self._public_s.update(
                {oid: at_s for oid, each in found.items() if each and oid not in self._public_s}
            )

    def of(self, oid: int) -> Relation | None:
        """A relation by its number; None when nobody but its maker ever saw it."""
        return self._known.get(oid) or self._new.get(oid)

    def is_public(self, oid: int, at_s: float) -> bool:
        """Whether somebody else may have waited for it then: its making was over."""
        return oid in self._known or self._public_s.get(oid, math.inf) <= at_s

    def _found(self, oids: Iterable[int]) -> dict[int, Relation | None]:
        found: Known = {}
        # The catalog itself may be being rebuilt; what is missing is asked for again at the end.
        with contextlib.suppress(QueryFailed):
            found = read_relations(self._session, list(oids))
        return {oid: found.get(oid) for oid in oids}


def rewritten(before: Known, after: Known, announced: Iterable[int]) -> set[int]:
    """What has another file than before, or was announced to be rewritten, by its number then.

    A concurrent rebuild gives an index another number and lets it keep its name.
    """
    by_name = {each.name: each for each in after.values() if each.kind in INDEXES}
    found = {oid for oid in announced if oid in before}
    for oid, was in before.items():
        now = after.get(oid) or by_name.get(was.name if was.kind in INDEXES else "")
        if now is not None and was.file and now.file != was.file:
            found.add(oid)
    return found


def told_rewrites(before: Known, oids: Iterable[int], emptied: Iterable[int]) -> tuple[str, ...]:
    """Names of tables that were rewritten, and of indexes that were rebuilt without their table."""
    changed, empty = set(oids), set(emptied)
    tables = {oid for oid in changed - empty if before[oid].kind not in INDEXES}
    alone = {oid for oid in changed - tables - empty if before[oid].table_oid not in changed}
    return tuple(sorted(before[oid].name for oid in tables | alone))


def scanned(before: Known, after: Known) -> tuple[str, ...]:
    """Tables that were read as a whole: as many rows as they had, or pages when that is unknown."""
    names = []
    for oid, was in before.items():
        now = after.get(oid)
        if now is None or now.scans <= was.scans:
            continue
        whole = was.rows * 0.9 if was.rows > 0 else was.pages
        if now.rows_read - was.rows_read >= max(1, whole):
            names.append(was.name)
    return tuple(sorted(names))


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation(**{**row, "parents": tuple(row["parents"])})
