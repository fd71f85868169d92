"""Owns `shippyard.backfill` in the target database: what is registered, and how far each came.

A batch moves its row in the transaction that changes the rows, so that both are there or neither.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from shippyard.migration.backfill.server import Row, Server, written
from shippyard.migration.backfill.spec import BackfillRefused, Spec, from_document

THERE_SQL = """
SELECT pg_catalog.to_regnamespace('shippyard') IS NOT NULL AS schema_there,
    pg_catalog.to_regclass('shippyard.backfill') IS NOT NULL AS table_there
"""
SCHEMA_SQL = "CREATE SCHEMA IF NOT EXISTS shippyard"
TABLE_SQL = """
CREATE TABLE IF NOT EXISTS shippyard.backfill (
    name text PRIMARY KEY,
    table_name text NOT NULL,
    spec jsonb NOT NULL,
    spec_hash text NOT NULL,
    round int NOT NULL DEFAULT 1,
    last_key text[],
    rows bigint NOT NULL DEFAULT 0,
    batches bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    round_rows bigint NOT NULL DEFAULT 0,
    still_due bigint NOT NULL DEFAULT 0,
    batch_rows int NOT NULL,
    estimate bigint,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at timestamptz
)
"""
REGISTER_SQL = """
INSERT INTO shippyard.backfill (name, table_name, spec, spec_hash, batch_rows, estimate)
VALUES ({name}, {table}, {spec}, {hash}, {rows}, {estimate}) ON CONFLICT (name) DO NOTHING
"""
SELECT_SQL = """
SELECT name, spec, spec_hash, round, last_key, rows, batches, seen, round_rows, still_due,
    batch_rows, estimate, started_at, updated_at, finished_at
FROM shippyard.backfill
"""
NEXT_ROUND_SQL = """
UPDATE shippyard.backfill
SET round = round + 1, last_key = NULL, round_rows = 0, seen = 0,
    updated_at = pg_catalog.clock_timestamp()
WHERE name = {name} AND round = {round}
"""
FINISH_SQL = """
UPDATE shippyard.backfill
SET finished_at = pg_catalog.clock_timestamp(), updated_at = pg_catalog.clock_timestamp()
WHERE name = {name} AND finished_at IS NULL
"""
# Also where nothing was ever registered, and without a connection to look.
FORGET_SQL = """\
DO $$ BEGIN IF to_regclass('shippyard.backfill') IS NOT NULL THEN \
DELETE FROM shippyard.backfill WHERE name = {name}; END IF; END $$"""


@dataclass(frozen=True)
class Checkpoint:
    """How far a backfill came. `rows` were changed, `seen` were gone past in this round."""

    spec: Spec
    spec_hash: str
    round: int
    last_key: tuple[str, ...] | None
    rows: int
    batches: int
    seen: int
    round_rows: int
    still_due: int
    batch_rows: int
    estimate: int | None
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.finished_at is not None

    def document(self) -> dict[str, Any]:
        """How it stands, in JSON."""
        return {
            "name": self.spec.name,
            "table": self.spec.table,
            "rows": self.rows,
            "batches": self.batches,
            "seen": self.seen,
            "estimate": self.estimate,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
        }


class Checkpoints:
    """The table, through one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def make(self) -> None:
        """Make the table where it is missing."""
        there = self._server.ask(written(THERE_SQL))[0]
        if not there["schema_there"]:
            self._server.ask(written(SCHEMA_SQL))
        if not there["table_there"]:
            self._server.ask(written(TABLE_SQL))

    def register(self, spec: Spec, batch_rows: int, estimate: int | None) -> Checkpoint:
        """Write a backfill down, or find it where an earlier try left it.

        Raises:
            BackfillRefused: what is there under that name is other work.
        """
        self._server.ask(
            written(REGISTER_SQL).format(
                name=sql.Literal(spec.name),
                table=sql.Literal(spec.table),
                spec=sql.Literal(json.dumps(spec.document())),
                hash=sql.Literal(spec.hash),
                rows=sql.Literal(batch_rows),
                estimate=sql.Literal(estimate),
            )
        )
        found = self.get(spec.name)
        assert found is not None
        if found.spec_hash != spec.hash:
            raise BackfillRefused(
                f"backfill {spec.name} was begun as something else (of {found.spec.table}, "
                f"{found.rows} rows); choose another name, or forget_backfill it first"
            )
        return found

    def get(self, name: str) -> Checkpoint | None:
        """How far one came; None when it is not registered."""
        condition = sql.SQL("WHERE name = {}").format(sql.Literal(name))
        found = self._select(condition)
        return found[0] if found else None

    def all(self) -> list[Checkpoint]:
        """All of them, oldest first."""
        return self._select(sql.SQL("ORDER BY started_at, name"))

    def next_round(self, checkpoint: Checkpoint) -> None:
        """Begin at the table's first row again."""
        self._server.ask(
            written(NEXT_ROUND_SQL).format(
                name=sql.Literal(checkpoint.spec.name), round=sql.Literal(checkpoint.round)
            )
        )

    def finish(self, name: str) -> None:
        """Say that nothing is left to do."""
        self._server.ask(written(FINISH_SQL).format(name=sql.Literal(name)))

    def _select(self, condition: sql.Composable) -> list[Checkpoint]:
        if not self._server.ask(written(THERE_SQL))[0]["table_there"]:
            return []
        return [_checkpoint(row) for row in self._server.ask(written(SELECT_SQL) + condition)]


def forget(name: str) -> str:
    """The statement that forgets a backfill, for whoever runs it."""
    return written(FORGET_SQL).format(name=sql.Literal(name)).as_string(None)


def unfinished(checkpoint: Checkpoint | None, name: str) -> str | None:
    """Why a revision that needs a backfill must wait, or None."""
    if checkpoint is None:
        return f"backfill {name} was never begun; a revision before this one must do it"
    if checkpoint.finished:
        return None
    done = share(checkpoint.seen, checkpoint.estimate)
    return f"backfill {name} is not finished ({done}); run: shippyard migration backfill {name}"


def share(seen: int, estimate: int | None) -> str:
    """How much is done, as a person reads it."""
    if not estimate:
        return f"{seen:,} rows"
    return f"{min(seen / estimate, 1):.0%} of about {estimate:,} rows"


def _checkpoint(row: Row) -> Checkpoint:
    fields = {name: value for name, value in row.items() if name != "name"}
    key: Sequence[str] | None = row["last_key"]
    return Checkpoint(
        **{
            **fields,
            "spec": from_document(row["spec"]),
            "last_key": None if key is None else tuple(key),
        }
    )
