"""Owns what killed concurrent builds leave: INVALID indexes, and the copies of a REINDEX.

What the plan is about to build is dropped, so that it is built anew; what it does not name, and
what somebody is building now, is left alone and said. Refuses to know how a run goes on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.migration.hazards.reading.nodes import dropped as dropped_by
from shippyard.migration.hazards.reading.nodes import relation
from shippyard.migration.hazards.reading.sql import Statement, read_sql
from shippyard.migration.plan import Plan
from shippyard.migration.spec import Way
from shippyard.migration.version_table import Query
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import writing_session

DROP_TIMEOUT_S = 600.0
COPY = re.compile(r"_cc(new|old)\d*$")
STEP = b"create_index_concurrently"

# One that is being built now is somebody's work, not a leftover.
LEFT_SQL = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS name, c.relname AS bare,
    format('%%I.%%I', tn.nspname, t.relname) AS on_table, i.indisvalid AS valid,
    pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE c.relkind = 'i' AND n.nspname <> 'pg_toast'
    AND (NOT i.indisvalid OR c.relname = ANY (%(names)s))
    AND NOT EXISTS (
        SELECT FROM pg_stat_progress_create_index AS p
        WHERE p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (p.index_relid = i.indexrelid OR p.relid = i.indrelid AND c.relname ~ '_ccnew')
    )
ORDER BY 1
"""


@dataclass(frozen=True)
class Leftover:
    """An index that a build did not finish, or finished without its revision."""

    name: str
    bare: str
    table: str
    valid: bool
    definition: str

    @property
    def what(self) -> str:
        """In words."""
        if self.valid:
            return "built, though its revision is not stamped"
        return "a copy that REINDEX left" if COPY.search(self.bare) else "INVALID"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "table": self.table, "valid": self.valid, "what": self.what}


@dataclass(frozen=True)
class Sweep:
    """What to do with leftovers: `drop` to build anew, `adopt` what is as it should be.

    `leave` is what the plan does not name: a person's to decide.
    """

    drop: tuple[Leftover, ...] = ()
    adopt: tuple[Leftover, ...] = ()
    leave: tuple[Leftover, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """One line for each."""
        return (
            *(f"{each.name} is {each.what}; it is dropped and built again" for each in self.drop),
            *(f"{each.name} is {each.what}; it is kept when it is the same" for each in self.adopt),
            *(
                f"{each.name} is {each.what} and not this plan's; drop it: "
                f"DROP INDEX CONCURRENTLY {each.name}"
                for each in self.leave
            ),
        )


@dataclass(frozen=True)
class Built:
    """Indexes that revisions make: by name, and whether a step that looks first makes them.

    Those that they drop are looked after by their own statement.
    """

    names: Mapping[str, bool]
    dropped: frozenset[str] = frozenset()
    reindexed: frozenset[str] = frozenset()


def read_leftovers(query: Query) -> tuple[Leftover, ...]:
    """Every INVALID index that nobody is building now."""
    return _read(query(LEFT_SQL.replace("%%", "%").replace("%(names)s", "'{}'::name[]")))


def look_for(target: Target, built: Built) -> tuple[Leftover, ...]:
    """INVALID indexes, and those that the rest of a plan is going to make.

    Raises:
        Unreachable, QueryFailed: the server did not say.
    """
    with session(target, "migrate-recover") as opened:
        return _read(opened.query(LEFT_SQL, {"names": list(built.names)}))


def sweep_of(leftovers: Iterable[Leftover], built: Built) -> Sweep:
    """What becomes of each. A valid one is adopted only by a step that compares it."""
    drop: list[Leftover] = []
    adopt: list[Leftover] = []
    leave: list[Leftover] = []
    for each in leftovers:
        base = COPY.sub("", each.bare)
        if each.bare in built.names:
            (adopt if each.valid and built.names[each.bare] else drop).append(each)
        elif each.bare in built.dropped:
            continue
        elif not each.valid and base != each.bare and _is_reindexed(each, base, built):
            drop.append(each)
        else:
            leave.append(each)
    return Sweep(tuple(drop), tuple(adopt), tuple(leave))


def built_by(
    plan: Plan, revisions: Sequence[str], files: Mapping[str, bytes], way: Way = "up"
) -> Built:
    """The indexes that some of a plan's revisions make outside a transaction."""
    names: dict[str, bool] = {}
    dropped: set[str] = set()
    reindexed: set[str] = set()
    sql = plan.rendered if way == "up" else plan.undo
    for revision in plan.revisions:
        if revision.revision not in revisions:
            continue
        looks_first = STEP in files.get(revision.file, b"")
        rendered = sql.get(revision.revision)
        for each in read_sql(rendered.sql if rendered else "", in_transaction=True):
            if each.kind == "index_stmt" and each.node.get("concurrent"):
                names[str(each.node.get("idxname"))] = looks_first
            elif each.kind == "drop_stmt" and each.node.get("concurrent"):
                dropped |= {name.rpartition(".")[2] for name in dropped_by(each.node)}
            elif each.kind == "reindex_stmt":
                reindexed |= _reindexed(each)
    return Built(names, frozenset(dropped), frozenset(reindexed))


def is_left_by(left: Leftover, statements: Iterable[str]) -> bool:
    """Whether one of these statements, which went wrong, is what left an index INVALID."""
    if left.valid:
        return False
    base = COPY.sub("", left.bare)
    names = {left.bare} if base == left.bare else {base, left.table.rpartition(".")[2].strip('"')}
    return any(name in statement for name in names for statement in statements)


def sweep(target: Target, drop: Iterable[Leftover], *, timeout_s: float = DROP_TIMEOUT_S) -> None:
    """Drop leftovers without being in anybody's way. Nobody may be migrating meanwhile.

    Raises:
        Unreachable, QueryFailed: one could not be dropped.
    """
    with writing_session(target, "migrate-recover") as opened:
        # It waits for old snapshots; giving up would leave what it began to drop.
        opened.query("SELECT set_config('lock_timeout', '0', false)")
        for each in drop:
            opened.query(f"DROP INDEX CONCURRENTLY IF EXISTS {each.name}", timeout_s=timeout_s)


def _read(rows: Iterable[Mapping[str, Any]]) -> tuple[Leftover, ...]:
    return tuple(
        Leftover(row["name"], row["bare"], row["on_table"], row["valid"], row["definition"])
        for row in rows
    )


def _is_reindexed(left: Leftover, base: str, built: Built) -> bool:
    """A REINDEX names an index, a table, or everything (empty)."""
    bare_table = left.table.rpartition(".")[2].strip('"')
    return bool({base, bare_table, ""} & built.reindexed)


def _reindexed(statement: Statement) -> set[str]:
    return {relation(statement.node.get("relation")).rpartition(".")[2]}
