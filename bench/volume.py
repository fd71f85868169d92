"""Owns the comparison of ways to fill a database: the volume's COPY, and INSERT … executemany.

Both write the same rows of the same tables, made by the same code. Run it:
`python -m bench.volume --scale 1`.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.setup.schema import make_policy_roles, upgrade
from shippyard.setup.seed import REFERENCE, load_files
from shippyard.setup.volume.catalogue import NAMES, TABLES, Table
from shippyard.setup.volume.filling import cities_of, fill
from shippyard.setup.volume.shape import Shape
from shippyard.setup.volume.world import NULL, World

ROWS_AT_ONCE = 1_000
# As it is by default; a scratch cluster has it off.
DURABLE = {"fsync": "on"}


@dataclass(frozen=True)
class Compared:
    """Rows per second of each way, in the same minutes on the same server."""

    rows: int
    copy_s: float
    insert_rows: int
    insert_s: float

    @property
    def copied_per_s(self) -> float:
        """Rows per second of the volume's own way, ANALYZE included."""
        return self.rows / self.copy_s

    @property
    def inserted_per_s(self) -> float:
        """Rows per second of INSERT … executemany."""
        return self.insert_rows / self.insert_s

    @property
    def ratio(self) -> float:
        """How many times as fast COPY is."""
        return self.copied_per_s / self.inserted_per_s


def compare(scale: float, insert_scale: float) -> Compared:
    """Fill a database at head by INSERT, empty it, and fill it by COPY."""
    processes = Processes()
    try:
        with embedded_cluster(server_tools(processes), processes, DURABLE) as cluster:
            target = cluster.target()
            make_policy_roles(target)
            upgrade(target, processes)
            load_files(target, REFERENCE)
            inserted, insert_s = _insert(target, Shape(scale=insert_scale))
            _empty(target)
            begun = time.monotonic()
            copied = sum(each.rows for each in fill(target, Shape(scale=scale)))
            return Compared(copied, time.monotonic() - begun, inserted, insert_s)
    finally:
        processes.end_all()


def main() -> int:
    """Compare, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 10,000 people")
    parser.add_argument("--insert-scale", type=float, default=0.1, help="the same for INSERT")
    asked = parser.parse_args()
    found = compare(asked.scale, asked.insert_scale)
    print(f"COPY    {found.rows:>10,} rows in {found.copy_s:.1f} s: {found.copied_per_s:,.0f}/s")
    print(
        f"INSERT  {found.insert_rows:>10,} rows in {found.insert_s:.1f} s: "
        f"{found.inserted_per_s:,.0f}/s; COPY is {found.ratio:.1f} times as fast"
    )
    return 0


def _insert(target: Target, shape: Shape) -> tuple[int, float]:
    world, rows, begun = World(shape, cities_of(target)), 0, time.monotonic()
    with psycopg.connect(**target.conninfo()) as connection:
        for table in TABLES:
            rows += _insert_table(connection, table, world)
            connection.commit()
        connection.execute("ANALYZE")
    return rows, time.monotonic() - begun


def _insert_table(connection: psycopg.Connection, table: Table, world: World) -> int:
    there = {
        column.name
        for column in connection.execute(
            sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table.name))
        ).description
        or []
    }
    places = [n for n, name in enumerate(table.columns) if name in there]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(sql.Identifier(table.columns[n]) for n in places),
        sql.SQL(", ").join(sql.Placeholder() for _ in places),
    )
    rows = [[None if row[n] == NULL else row[n] for n in places] for row in table.rows(world)]
    with connection.cursor() as cursor:
        for first in range(0, len(rows), ROWS_AT_ONCE):
            cursor.executemany(statement, rows[first : first + ROWS_AT_ONCE])
    return len(rows)


def _empty(target: Target) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as connection:
        names = sql.SQL(", ").join(map(sql.Identifier, NAMES))
        connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))


if __name__ == "__main__":
    sys.exit(main())
