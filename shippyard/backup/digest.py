"""Owns what was in a database at one moment: rows per table, and a digest of their content.

The same content gives the same digest on every major from 14, whatever the order of rows and
columns: settings that change how values are written are pinned. Which tables and columns count
stands in digest_tables.sql, how rows are summed in digest_rows.sql.

A digest is 32 hex digits. Of a table larger than the sample it is followed by `/` and a number:
then only rows with a primary key (else: a whole row) whose hash that number divides were read.
`take_again` reads a copy in just the way each table was read before, whatever the settings are now.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from shippyard.backup.manifest import Content, SequenceContent, TableContent
from shippyard.host.clock import Clock
from shippyard.postgres.session import QueryFailed, Row
from shippyard.postgres.snapshot import SnapshotSession, snapshot_session
from shippyard.postgres.target import Target

Mode = Literal["all", "sampled", "counts"]

# What the text of a value depends on, beside the value.
PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
    "xmlbinary": "base64",
}
LOCKED_AT_ONCE = 100
TIMED_OUT = "57014"
MODULUS_64 = 2**64
# Counting what was not read in time may take as long again, and then is given up.
COUNT_TIMES = 2.0

_FOLDER = Path(__file__).parent
_TABLES = (_FOLDER / "digest_tables.sql").read_text()
_SEQUENCES = (_FOLDER / "digest_sequences.sql").read_text()
_ROWS = (_FOLDER / "digest_rows.sql").read_text()
_COUNT = (_FOLDER / "digest_count.sql").read_text()

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Table:
    """One table to read. What is quoted by the server can be put into a statement."""

    schema: str
    name: str
    relation: str
    all_columns: str
    key_columns: str
    condition: str
    """Rows of an extension's table that are the user's, as a WHERE clause; empty for all."""


Choose = Callable[[Table, Callable[[], int]], int | None]
"""How a table is read: 1 all of it, n every nth row by hash, None counted only.

The second argument counts its rows, which takes a moment.
"""


def take_content(
    target: Target,
    clock: Clock,
    *,
    mode: Mode,
    sample_rows: int,
    timeout_s: float,
    snapshot: str | None = None,
    lock_timeout_s: float = 5.0,
) -> Content:
    """What is in a database: at `snapshot`, or now.

    Tables that are not reached within `timeout_s` are counted only, and say so by having no digest.

    Raises:
        Unreachable, QueryFailed: the server gave no answer, or a table stayed locked.
    """
    with content_session(
        target, snapshot=snapshot, max_s=COUNT_TIMES * timeout_s + 60, lock_timeout_s=lock_timeout_s
    ) as session:
        sequences = read_sequences(session)
        tables = lock_tables(session)
        return read_content(
            session,
            clock,
            tables,
            sequences,
            mode=mode,
            choose=as_configured(mode, sample_rows),
            timeout_s=timeout_s,
        )


def take_again(
    target: Target,
    expected: Content,
    clock: Clock,
    *,
    timeout_s: float,
    lock_timeout_s: float = 5.0,
) -> Content:
    """What is in a copy now, each table read in the way it was read for `expected`.

    Raises:
        Unreachable, QueryFailed: the server gave no answer, or a table stayed locked.
    """
    with content_session(
        target, max_s=COUNT_TIMES * timeout_s + 60, lock_timeout_s=lock_timeout_s
    ) as session:
        sequences = read_sequences(session)
        return read_content(
            session,
            clock,
            lock_tables(session),
            sequences,
            mode=expected.mode,
            choose=as_before(expected),
            timeout_s=timeout_s,
        )


def content_session(
    target: Target, *, max_s: float, lock_timeout_s: float, snapshot: str | None = None
) -> AbstractContextManager[SnapshotSession]:
    """A session in which a value has one text, wherever it is; see `snapshot_session`."""
    return snapshot_session(
        target,
        "digest",
        max_s=max_s,
        snapshot=snapshot,
        lock_timeout_s=lock_timeout_s,
        settings=PINNED,
    )


def read_sequences(session: SnapshotSession) -> tuple[SequenceContent, ...]:
    """Where sequences stand now: they obey no snapshot, so this goes before the dump begins.

    Raises:
        QueryFailed: the server gave no answer.
    """
    return tuple(SequenceContent(**row) for row in session.query(_SEQUENCES))


def lock_tables(session: SnapshotSession) -> tuple[Table, ...]:
    """The tables that have rows, each locked against changes of its shape while `session` lives.

    Readers and writers don't notice. A dump that takes the same locks meanwhile can't fall behind
    someone who waits for them.

    Raises:
        QueryFailed: the server gave no answer; a table that stayed locked is named.
    """
    tables = tuple(_table(row) for row in session.query(_TABLES))
    for table in tables:
        try:
            session.query(f"LOCK TABLE ONLY {table.relation} IN ACCESS SHARE MODE")
        except QueryFailed as failed:
            raise QueryFailed(f"table {table.relation}: {failed}", failed.sqlstate) from None
    return tables


def as_configured(mode: Mode, sample_rows: int) -> Choose:
    """How the operator wants tables to be read."""

    def choose(_table: Table, count: Callable[[], int]) -> int | None:
        if mode == "counts":
            return None
        return 1 if mode == "all" else max(1, math.ceil(count() / sample_rows))

    return choose


def as_before(expected: Content) -> Choose:
    """How each table was read for `expected`; what was not there is read whole."""
    before = {(table.schema, table.name): table.digest for table in expected.tables}

    def choose(table: Table, _count: Callable[[], int]) -> int | None:
        digest = before.get((table.schema, table.name), "")
        return None if digest is None else _modulus(digest)

    return choose


def read_content(
    session: SnapshotSession,
    clock: Clock,
    tables: Sequence[Table],
    sequences: Sequence[SequenceContent],
    *,
    mode: Mode,
    choose: Choose,
    timeout_s: float,
) -> Content:
    """Read the tables, as far as the time goes; then count them.

    A table that can't even be counted in time is left out, and logged.

    Raises:
        QueryFailed: the server refused, or was lost.
    """
    started = clock.monotonic()
    reader = _Reader(session, clock, choose, started + timeout_s)
    found = [reader.read(table) for table in tables]
    return Content(
        mode,
        tuple(table for table in found if table),
        tuple(sequences),
        clock.monotonic() - started,
    )


class _Reader:
    """Reads table after table until a deadline, then counts until a later one."""

    def __init__(
        self, session: SnapshotSession, clock: Clock, choose: Choose, deadline: float
    ) -> None:
        self._session = session
        self._clock = clock
        self._choose = choose
        self._deadline = deadline
        self._count_deadline = deadline + (COUNT_TIMES - 1) * (deadline - clock.monotonic())

    def read(self, table: Table) -> TableContent | None:
        """The table, read as chosen, else counted, else None."""
        try:
            return self._digested(table) or self._counted(table)
        except _NoTimeLeft:
            log.warning("digest.left_out", table=table.relation)
            return None

    def _digested(self, table: Table) -> TableContent | None:
        """None when it is to be counted, or there was no time for more."""
        counted: list[int] = []

        def count() -> int:
            counted.append(self._ask(_filled(_COUNT, table), self._deadline)["rows"])
            return counted[0]

        try:
            modulus = self._choose(table, count)
            if modulus is None:
                return None
            if modulus > 1 and not counted:
                count()
            row = self._ask(_filled(_ROWS, table, sample=_sample(table, modulus)), self._deadline)
        except _NoTimeLeft:
            return None
        rows = counted[0] if modulus > 1 else row["rows"]
        return TableContent(table.schema, table.name, rows, _digest(row, modulus), modulus > 1)

    def _counted(self, table: Table) -> TableContent:
        row = self._ask(_filled(_COUNT, table), self._count_deadline)
        return TableContent(table.schema, table.name, row["rows"], None)

    def _ask(self, statement: str, deadline: float) -> Row:
        left_s = deadline - self._clock.monotonic()
        if left_s <= 0:
            raise _NoTimeLeft
        try:
            return self._session.attempt(statement, timeout_s=left_s)[0]
        except QueryFailed as failed:
            if failed.sqlstate == TIMED_OUT:
                raise _NoTimeLeft from None
            raise


class _NoTimeLeft(Exception):
    """The deadline passed before the server had an answer."""


def _table(row: Row) -> Table:
    return Table(**{**row, "key_columns": row["key_columns"] or row["all_columns"]})


def _filled(statement: str, table: Table, sample: str = "") -> str:
    # Everything here was quoted by the server itself.
    return statement.format(
        relation=table.relation,
        all_columns=table.all_columns,
        condition=table.condition,
        sample=sample,
    )


def _sample(table: Table, modulus: int) -> str:
    if modulus == 1:
        return "true"
    return f'mod(hashtextextended(({table.key_columns})::text COLLATE "C", 2), {modulus}) = 0'


def _digest(row: Row, modulus: int) -> str:
    digest = "".join(f"{int(row[half]) % MODULUS_64:016x}" for half in ("one", "two"))
    return digest if modulus == 1 else f"{digest}/{modulus}"


def _modulus(digest: str) -> int:
    return int(digest.partition("/")[2] or 1)
