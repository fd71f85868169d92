"""Owns what a plan touches, as its SQL and its rehearsal show: tables, new indexes, long builds.

Pure. Judges nothing; what can't be known before it runs is said to be unknown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from shippyard.migration.hazards.reading.nodes import (
    commands,
    constraint_of,
    dropped,
    joined,
    relation,
    walk,
)
from shippyard.migration.hazards.reading.sql import UNREADABLE, Statement, read_sql
from shippyard.migration.plan import Plan
from shippyard.migration.rehearsal.report import Report

KEPT = 256
CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
WAITS_FOR_NOBODY = frozenset({"refresh_mat_view_stmt"})
ROWS_ONLY = frozenset(
    {"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "view_stmt"}
)
NAMES_A_TABLE = frozenset({"relation", "range_var", "pktable"})
BRINGS_AN_INDEX = frozenset({"CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_EXCLUSION"})


@dataclass(frozen=True)
class Touches:
    """What is changed. Names are as `plain` writes them.

    `waits_for_snapshots`: something is built or dropped concurrently, which waits for every
    snapshot of the database. `unknown`: a part of the SQL is made only when it runs, and no
    rehearsal saw it.
    """

    tables: frozenset[str] = frozenset()
    indexed: frozenset[str] = frozenset()
    waits_for_snapshots: bool = False
    unknown: bool = False


def touches(plan: Plan, rehearsal: Report | None) -> Touches:
    """All that the plan's way up touches."""
    known = [rendered for rendered in plan.rendered.values() if rendered.unrendered is None]
    found = [_of_sql(rendered.sql) for rendered in known]
    dark = len(known) < len(plan.revisions) or any(each.unknown for each in found)
    waits = any(each.waits_for_snapshots for each in found)
    return Touches(
        frozenset[str]().union(*(each.tables for each in found), _locked(rehearsal)),
        frozenset[str]().union(*(each.indexed for each in found)),
        waits or (dark and _built_concurrently(rehearsal)),
        unknown=dark and rehearsal is None,
    )


def plain(name: str) -> str:
    """`public.users` as `users`, so that names from several places can be compared."""
    return joined(part.strip('"') for part in name.split(".", 1))


@lru_cache(KEPT)
def _of_sql(sql: str) -> Touches:
    statements = read_sql(sql, in_transaction=True)
    changing = [each for each in statements if each.kind not in ROWS_ONLY]
    return Touches(
        frozenset(name for each in changing for name in _tables(each) if name),
        frozenset(name for each in changing for name in _indexed(each) if name),
        any(_waits(each) for each in changing),
        any(each.kind in (UNREADABLE, "do_stmt") for each in statements),
    )


def _tables(statement: Statement) -> Iterator[str]:
    yield from (relation(node) for kind, node in walk(statement.node) if kind in NAMES_A_TABLE)
    if statement.kind == "drop_stmt":
        yield from dropped(statement.node)


def _indexed(statement: Statement) -> Iterator[str]:
    if statement.kind == "index_stmt":
        yield relation(statement.node.get("relation"))
    if statement.kind == "alter_table_stmt":
        for command in commands(statement.node):
            made = constraint_of(command)
            if made.get("contype") in BRINGS_AN_INDEX and not made.get("indexname"):
                yield relation(statement.node.get("relation"))


def _waits(statement: Statement) -> bool:
    return statement.kind not in WAITS_FOR_NOBODY and bool(CONCURRENTLY.search(statement.text))


def _locked(rehearsal: Report | None) -> frozenset[str]:
    if rehearsal is None:
        return frozenset()
    ups = (each.recorded for each in rehearsal.passages if each.way == "up")
    return frozenset(
        plain(lock.relation)
        for recorded in ups
        for lock in recorded.locks
        if lock.mode not in ("AccessShareLock", "RowShareLock", "RowExclusiveLock")
    )


def _built_concurrently(rehearsal: Report | None) -> bool:
    """Whether it may build concurrently; without a rehearsal it may."""
    if rehearsal is None:
        return True
    said = (s.text for each in rehearsal.passages for s in each.recorded.statements)
    return any(CONCURRENTLY.search(text) for text in said)
