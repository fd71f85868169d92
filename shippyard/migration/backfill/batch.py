"""Owns one batch: where it ends, and the one statement that changes its rows and the checkpoint.

The statement looks at the checkpoint first and locks it: when another worker has moved it, no row
is touched. So a row is never changed twice, whoever else is at it.
"""

from dataclasses import dataclass

from psycopg import sql

from shippyard.migration.backfill.checkpoint import Checkpoint
from shippyard.migration.backfill.keys import Key, Table
from shippyard.migration.backfill.server import Server, written
from shippyard.migration.backfill.spec import Spec

RANGE_SQL = """
SELECT {text} AS last_key, count(*) OVER () AS seen
FROM (SELECT {row} FROM {table} WHERE {after} ORDER BY {row} LIMIT {rows}) AS next
ORDER BY {descending} LIMIT 1
"""

# Sessions that wait for us are looked for at the end, while the rows are still locked.
CHANGE_SQL = """
WITH mine AS MATERIALIZED (
    SELECT FROM shippyard.backfill
    WHERE name = {name} AND round = {round} AND finished_at IS NULL
    AND spec_hash = {hash} AND last_key IS NOT DISTINCT FROM {last_key}::text[]
    FOR UPDATE
), changed AS (
    UPDATE {table} SET {assignments}
    WHERE EXISTS (SELECT FROM mine) AND {after} AND {up_to} AND ({where})
    RETURNING ({where}) IS TRUE AS still_due
), done AS MATERIALIZED (
    SELECT count(*) AS rows, count(*) FILTER (WHERE still_due) AS still_due FROM changed
)
UPDATE shippyard.backfill AS b
SET last_key = {upto_key}::text[], rows = b.rows + done.rows, round_rows = b.round_rows + done.rows,
    still_due = b.still_due + done.still_due, seen = b.seen + {seen}, batches = b.batches + 1,
    batch_rows = {batch_rows}, updated_at = pg_catalog.clock_timestamp()
FROM done
WHERE b.name = {name} AND EXISTS (SELECT FROM mine)
RETURNING done.rows AS changed, (
    SELECT count(*) FROM pg_catalog.pg_locks w WHERE NOT w.granted
    AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(w.pid))
) AS blocking
"""


class CheckpointMoved(Exception):
    """Somebody else moved the checkpoint, or it is gone; nothing was changed."""


@dataclass(frozen=True)
class Range:
    """The next rows: behind the checkpoint up to `upto`, `seen` of them."""

    upto: tuple[str, ...]
    seen: int


@dataclass(frozen=True)
class Changed:
    """What a batch did, and how many sessions waited for it at its end."""

    rows: int
    blocking: int


def next_range(server: Server, table: Table, checkpoint: Checkpoint, rows: int) -> Range | None:
    """The next `rows` rows by key, or None behind the last one. Locks nothing."""
    key = table.key
    statement = written(RANGE_SQL).format(
        text=key.as_text(),
        row=key.row(),
        table=table.sql,
        after=key.after(checkpoint.last_key),
        rows=sql.Literal(rows),
        descending=_descending(key),
    )
    found = server.ask(statement)
    return Range(tuple(found[0]["last_key"]), int(found[0]["seen"])) if found else None


def change(server: Server, table: Table, checkpoint: Checkpoint, picked: Range) -> Changed:
    """Change the rows of a range and move the checkpoint behind it, both or neither.

    Raises:
        CheckpointMoved: it is not where we left it.
    """
    found = server.ask(_change_statement(table, checkpoint, picked))
    if not found:
        raise CheckpointMoved
    return Changed(int(found[0]["changed"]), int(found[0]["blocking"]))


def plain_statement(spec: Spec) -> str:
    """The same work as one statement, for who has no connection to run batches on."""
    where = f" WHERE {spec.where}" if spec.where else ""
    changes = _assignments(spec).as_string(None)
    return f"UPDATE {spec.table} SET {changes}{where}"


def _change_statement(table: Table, checkpoint: Checkpoint, picked: Range) -> sql.Composable:
    spec, key = checkpoint.spec, table.key
    last = checkpoint.last_key
    return written(CHANGE_SQL).format(
        name=sql.Literal(spec.name),
        round=sql.Literal(checkpoint.round),
        hash=sql.Literal(spec.hash),
        last_key=sql.Literal(None if last is None else list(last)),
        upto_key=sql.Literal(list(picked.upto)),
        seen=sql.Literal(picked.seen),
        batch_rows=sql.Literal(picked.seen),
        table=table.sql,
        assignments=_assignments(spec),
        after=key.after(last),
        up_to=key.up_to(picked.upto),
        # on lines of its own: it may end in a comment
        where=written(f"\n{spec.where or 'true'}\n"),
    )


def _assignments(spec: Spec) -> sql.Composable:
    each = (
        sql.SQL("{} = {}").format(sql.Identifier(column), written(f"({value})"))
        for column, value in spec.set_.items()
    )
    return sql.SQL(", ").join(each)


def _descending(key: Key) -> sql.Composable:
    each = (sql.SQL("{} DESC").format(sql.Identifier(name)) for name, _ in key.columns)
    return sql.SQL(", ").join(each)
