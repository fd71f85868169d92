"""Owns the table's key: which columns lead through it, and where a range of it begins and ends.

A key's values are kept as text, as the server writes and reads them under `KEY_SETTINGS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from shippyard.migration.backfill.server import Server, written
from shippyard.migration.backfill.spec import BackfillRefused, Spec

KEY_SETTINGS = {"datestyle": "ISO, YMD", "intervalstyle": "postgres"}

TABLE_SQL = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    greatest(c.reltuples, 0)::bigint AS estimate
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass({table})
"""

KEY_SQL = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (n, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
WHERE i.indrelid = {oid} AND i.indisprimary AND i.indisvalid AND k.place <= i.indnkeyatts
ORDER BY k.place
"""

TABLES = ("r", "p")  # ordinary, partitioned

Values = Sequence[str]


@dataclass(frozen=True)
class Key:
    """The columns of a primary key, in its order, with their types."""

    columns: tuple[tuple[str, str], ...]

    def row(self) -> sql.Composable:
        """Its columns, separated by commas."""
        return sql.SQL(", ").join(sql.Identifier(name) for name, _ in self.columns)

    def as_text(self) -> sql.Composable:
        """Its values as an array of text."""
        each = (sql.SQL("{}::text").format(sql.Identifier(name)) for name, _ in self.columns)
        return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(each))

    def after(self, values: Values | None) -> sql.Composable:
        """Rows that come behind `values`; all when None."""
        return sql.SQL("true") if values is None else self._compared(">", values)

    def up_to(self, values: Values) -> sql.Composable:
        """Rows that come before `values`, and that one."""
        return self._compared("<=", values)

    def _compared(self, how: str, values: Values) -> sql.Composable:
        each = (
            sql.SQL("{}::{}").format(sql.Literal(value), written(type_))
            for value, (_, type_) in zip(values, self.columns, strict=True)
        )
        return sql.SQL("({}) {} ({})").format(self.row(), written(how), sql.SQL(", ").join(each))


@dataclass(frozen=True)
class Table:
    """A table as the catalog has it. `name` is quoted; `estimate` is None when nobody counted."""

    name: str
    key: Key
    estimate: int | None

    @property
    def sql(self) -> sql.Composable:
        """Its name in a statement."""
        return written(self.name)


def find_table(server: Server, spec: Spec) -> Table:
    """The table that a backfill is of, with its key.

    Raises:
        BackfillRefused: there is none, it has no primary key, or the key itself would be changed.
    """
    found = server.ask(written(TABLE_SQL).format(table=sql.Literal(spec.table)))
    if not found or found[0]["kind"] not in TABLES:
        raise BackfillRefused(f"backfill {spec.name}: there is no table {spec.table}")
    table = found[0]
    rows = server.ask(written(KEY_SQL).format(oid=sql.Literal(table["oid"])))
    key = Key(tuple((str(row["name"]), str(row["type"])) for row in rows))
    if not key.columns:
        raise BackfillRefused(
            f"backfill {spec.name}: {spec.table} has no primary key to go along; add one first"
        )
    changed = sorted({name for name, _ in key.columns} & set(spec.set_))
    if changed:
        raise BackfillRefused(
            f"backfill {spec.name} would change the primary key ({', '.join(changed)}), "
            "along which it goes"
        )
    return Table(str(table["name"]), key, table["estimate"] or None)
