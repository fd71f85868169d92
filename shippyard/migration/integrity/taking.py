"""Owns reading what integrity compares: objects, rights, sequences, and a sample of each table.

Rows are picked by their key in a way that does not change; afterwards the very same ones are looked
at again. Reads only, within a time, and with `row_security` off: what a policy would hide is an
error and never a smaller answer. Knows nothing of what is expected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from shippyard.host.clock import Clock, SystemClock
from shippyard.migration.integrity.model import (
    Changes,
    Key,
    SampledRow,
    SequenceSeen,
    Snapshot,
    TableSeen,
)
from shippyard.migration.plan import Plan
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.said import Said, said_by, say, unread
from shippyard.migration.spec import Way
from shippyard.migration.version_table import read_current
from shippyard.migration.wrote import Wrote
from shippyard.postgres.schema_objects import read_objects
from shippyard.postgres.session import QueryFailed, Session, open_session
from shippyard.postgres.target import Target

SAMPLE_ROWS = 1000
SAMPLE_ROWS_LEAST = 20
CELLS_MAX = 1_000_000
EDGE_ROWS = 100
SCANNED_PAGES = 2000  # a table up to this is read whole, to count and to pick
STATEMENT_S = 15.0
NO_TIME = "there was no time for it"
SETTINGS = {"row_security": "off", "max_parallel_workers_per_gather": "0"}

_HERE = Path(__file__).parent
TABLES_SQL, RIGHTS_SQL, SEQUENCES_SQL = (
    (_HERE / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("tables", "rights", "sequences")
)


def take(
    target: Target,
    plan: Plan,
    *,
    timeout_s: float,
    before: Snapshot | None = None,
    clock: Clock | None = None,
) -> Snapshot:
    """What there is now; after a run with `before`, so that the same rows are looked at.

    What the plan names comes first; a table that there is no time for is `unseen`.

    Raises:
        Unreachable, QueryFailed: the server did not say what there is at all.
    """
    session = open_session(target, "migrate-integrity", settings=SETTINGS)
    try:
        return _Taking(session, clock or SystemClock(), timeout_s).take(plan, before)
    finally:
        session.close()


def expected_of(
    plan: Plan,
    revisions: Sequence[str],
    wrote: Wrote | None,
    *,
    way: Way = "up",
    report: Report | None = None,
) -> Changes:
    """What a run of these revisions, in the order they are taken, may change.

    Of a revision whose SQL could not be read, a rehearsal's recorded statements say what it does.
    """
    recorded = _recorded(report, way, unread(plan, revisions, way))
    said = (*said_by(plan, revisions, way), *(each for text in recorded.values() for each in text))
    hidden = tuple(e for e in unread(plan, revisions, way) if e not in recorded)
    return Changes(_end_of(plan, revisions, way), said, hidden, wrote)


def _end_of(plan: Plan, revisions: Sequence[str], way: Way) -> str | None:
    if not revisions:
        return plan.current
    if way == "up":
        return revisions[-1]
    last = next(each for each in plan.revisions if each.revision == revisions[-1])
    return last.down[0] if last.down else None


def _recorded(
    report: Report | None, way: Way, revisions: Sequence[str]
) -> dict[str, tuple[Said, ...]]:
    found: dict[str, tuple[Said, ...]] = {}
    for passage in report.passages if report and report.outcome == "passed" else ():
        for each in passage.recorded.statements if passage.way == way else ():
            if each.revision in revisions and each.revision is not None:
                found[each.revision] = (*found.get(each.revision, ()), *say(each.text))
    return found


class _Taking:
    """One look, on one session."""

    def __init__(self, session: Session, clock: Clock, timeout_s: float) -> None:
        self._session = session
        self._clock = clock
        self._ends_s = clock.monotonic() + timeout_s

    def take(self, plan: Plan, before: Snapshot | None) -> Snapshot:
        ask = self._session.query
        objects = read_objects(lambda asked: ask(asked, timeout_s=STATEMENT_S))
        rights = {r["name"]: r["rights"] for r in ask(RIGHTS_SQL, timeout_s=STATEMENT_S)}
        sequences = self._sequences()
        rows = ask(TABLES_SQL, timeout_s=STATEMENT_S)
        share = _share(rows)
        tables: dict[str, TableSeen] = {}
        for row in _named_first(rows, plan):
            tables[row["name"]] = self._table(row, share, _same(row, before))
        if before is not None:
            tables = self._counted_again(tables)
        unseen = tuple(name for name, each in tables.items() if each.why_not == NO_TIME)
        at = read_current(ask)
        return Snapshot(at, objects, rights, tables, sequences, unseen)

    def _table(self, row: Mapping[str, Any], share: int, before: TableSeen | None) -> TableSeen:
        seen = TableSeen(
            oid=row["oid"],
            key=tuple(row["key"]),
            columns={name: (each[0], each[1]) for name, each in row["columns"].items()},
            file=row["file"],
            empty=False,
            rows=None,
            estimate=row["estimate"],
            updated=row["updated"],
            deleted=row["deleted"],
            sample={},
        )
        name = _name(row["name"])
        try:
            small = row["pages"] <= SCANNED_PAGES
            counted = self._ask(_COUNT.format(name))[0]["rows"] if small else None
            pick = self._pick_small if small else self._pick_large
            sample = self._again(name, seen, before) if before else pick(name, seen, share)
            empty = not counted if small else not self._ask(_ANY.format(name))
        except QueryFailed as error:
            return replace(seen, why_not=str(error))
        except TimeoutError:
            return replace(seen, why_not=NO_TIME)
        return replace(seen, rows=counted, empty=empty, sample=sample)

    def _pick_small(
        self, name: sql.Composable, seen: TableSeen, share: int
    ) -> dict[Key, SampledRow]:
        order = sql.SQL("hashtextextended(({})::text, 0)").format(_key_row(seen))
        return self._picked(name, seen, sql.SQL("ORDER BY {}").format(order), share)

    def _pick_large(
        self, name: sql.Composable, seen: TableSeen, share: int
    ) -> dict[Key, SampledRow]:
        """Some pages all over, and both ends of the key: what is newest is what is written to."""
        percent = sql.Literal(min(100.0, max(0.01, 400.0 * share / max(seen.estimate, 1))))
        sampled = sql.SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(percent)
        found = self._picked(name, seen, sampled, share)
        found = found or self._picked(name, seen, sql.SQL(""), share)
        for way in ("ASC", "DESC") if seen.key else ():
            order = sql.SQL(", ").join(
                sql.SQL("t.{} {}").format(sql.Identifier(k), _trusted(way)) for k in seen.key
            )
            ordered = sql.SQL("ORDER BY {}").format(order)
            found |= self._picked(name, seen, ordered, EDGE_ROWS)
        return found

    def _picked(
        self, name: sql.Composable, seen: TableSeen, how: sql.Composable, count: int
    ) -> dict[Key, SampledRow]:
        tail = sql.SQL("{} LIMIT {}").format(how, sql.Literal(count))
        return _sample(self._ask(_ROWS.format(_select(seen, seen.key), name, tail)))

    def _again(
        self, name: sql.Composable, seen: TableSeen, before: TableSeen
    ) -> dict[Key, SampledRow]:
        key = _key_now(seen, before)
        if key is None or not before.sample:
            return {}
        lists = list(zip(*before.sample, strict=True))
        arrays = sql.SQL(", ").join(
            sql.SQL("{}::text[]").format(sql.Literal(list(each))) for each in lists
        )
        names = [sql.Identifier(f"k{n}") for n in range(len(lists))]
        types = [seen.columns[k][1] if k in seen.columns else "tid" for k in (key or ("ctid",))]
        columns = [sql.SQL("t.{}").format(sql.Identifier(k)) for k in (key or ("ctid",))]
        on = sql.SQL(" AND ").join(
            sql.SQL("{} = u.{}::{}").format(c, n, _trusted(t))
            for c, n, t in zip(columns, names, types, strict=True)
        )
        tail = sql.SQL("JOIN unnest({}) AS u ({}) ON {}").format(
            arrays, sql.SQL(", ").join(names), on
        )
        return _sample(self._ask(_ROWS.format(_select(seen, key), name, tail)))

    def _sequences(self) -> dict[str, SequenceSeen]:
        """The columns first: what is added meanwhile is then no proof of a sequence left behind."""
        highest = {row["name"]: self._highest(row) for row in self._session.query(SEQUENCES_SQL)}
        return {
            row["name"]: SequenceSeen(row["last"], highest.get(row["name"]))
            for row in self._session.query(SEQUENCES_SQL)
        }

    def _highest(self, row: Mapping[str, Any]) -> int | None:
        if not row["quick"]:
            return None
        question = sql.SQL("SELECT max({})::int8 AS highest FROM {}").format(
            _trusted(row["column"]), _name(row["table"])
        )
        try:
            found: int | None = self._ask(question)[0]["highest"]
        except (QueryFailed, TimeoutError):
            return None
        return found

    def _counted_again(self, tables: Mapping[str, TableSeen]) -> dict[str, TableSeen]:
        """With the server's counts of after the rows were read: whoever changed them is in it."""
        now = {row["name"]: row for row in self._session.query(TABLES_SQL, timeout_s=STATEMENT_S)}
        return {
            name: replace(seen, updated=now[name]["updated"], deleted=now[name]["deleted"])
            if name in now
            else seen
            for name, seen in tables.items()
        }

    def _ask(self, question: sql.Composable) -> list[dict[str, Any]]:
        left_s = self._ends_s - self._clock.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return self._session.query(question.as_string(None), timeout_s=min(left_s, STATEMENT_S))


_COUNT = sql.SQL("SELECT count(*) AS rows FROM ONLY {}")
_ANY = sql.SQL("SELECT 1 FROM ONLY {} LIMIT 1")
_ROWS = sql.SQL("SELECT {} FROM ONLY {} AS t {}")


def _select(seen: TableSeen, key: tuple[str, ...] | None) -> sql.Composable:
    keys = [sql.SQL("t.{}::text").format(sql.Identifier(k)) for k in (key or ("ctid",))]
    hashes = [
        sql.SQL("hashtextextended(t.{}::text, 0)").format(sql.Identifier(c)) for c in seen.columns
    ]
    return sql.SQL("ARRAY[{}] AS key, t.xmin::text AS xmin, ARRAY[{}]::int8[] AS hashes").format(
        sql.SQL(", ").join(keys), sql.SQL(", ").join(hashes)
    )


def _key_row(seen: TableSeen) -> sql.Composable:
    return sql.SQL("ROW({})").format(
        sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(k)) for k in seen.key or ("ctid",))
    )


def _sample(rows: Iterable[Mapping[str, Any]]) -> dict[Key, SampledRow]:
    return {tuple(row["key"]): SampledRow(row["xmin"], tuple(row["hashes"])) for row in rows}


def _key_now(seen: TableSeen, before: TableSeen) -> tuple[str, ...] | None:
    """The columns that were the key, by what they are called now; None when one is gone."""
    if not before.key:
        return ()
    if all(k in seen.columns for k in before.key):
        return before.key
    numbers = {number: name for name, (number, _) in seen.columns.items()}
    found = [numbers.get(before.columns[k][0]) for k in before.key]
    if seen.oid != before.oid or None in found:
        return None
    return tuple(str(each) for each in found)


def _same(row: Mapping[str, Any], before: Snapshot | None) -> TableSeen | None:
    """The table as it was seen before: of that name, else the same one under another name."""
    if before is None:
        return None
    by_oid = {each.oid: each for each in before.tables.values()}
    return before.tables.get(row["name"]) or by_oid.get(row["oid"])


def _share(rows: Sequence[Mapping[str, Any]]) -> int:
    """Rows of each table, so that all of it stays within bounds."""
    cells = sum(len(row["columns"]) for row in rows)
    return max(SAMPLE_ROWS_LEAST, min(SAMPLE_ROWS, CELLS_MAX // max(cells, 1)))


def _named_first(rows: Sequence[Mapping[str, Any]], plan: Plan) -> list[Mapping[str, Any]]:
    said = said_by(plan, [each.revision for each in plan.revisions])
    words = frozenset().union(*(each.words for each in said))
    return sorted(rows, key=lambda row: row["name"].rpartition(".")[2].strip('"') not in words)


def _name(quoted: str) -> sql.SQL:
    """A name that the server quoted."""
    return _trusted(quoted)


def _trusted(text: str) -> sql.SQL:
    literal: LiteralString = text
    return sql.SQL(literal)
