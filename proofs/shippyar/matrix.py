"""Owns the table of docs/access.md, and trying every command of it as every role.

A command counts as allowed when the server does not refuse it for want of a privilege: what its
policies then let through is another question.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import LiteralString

from psycopg import sql
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, IntegrityError

from proofs.shippyar.house import OLGA, Connection, House
from proofs.table import ROOT

Matrix = Mapping[tuple[str, str], str]
"""The letters that are allowed, by (role, table)."""

NOTHING = "–"  # noqa: RUF001  as the document has it
DOCUMENT = ROOT / "docs" / "access.md"
COMMANDS: Mapping[str, LiteralString] = {
    "S": "SELECT FROM {table} LIMIT 0",
    "I": "INSERT INTO {table} DEFAULT VALUES",
    "U": "UPDATE {table} SET {column} = DEFAULT WHERE false",
    "D": "DELETE FROM {table} WHERE false",
    "T": "TRUNCATE {table}",
}
# They have no column in the document, because they may nothing there.
WITHOUT = ("shippyard_replication", "shippyard_signal", "shippyard_canary")
# A group does not log in: one of its people does.
PEOPLE = {"shippyar_admin": OLGA}
TABLES = """
    SELECT c.relname, min(a.attname) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    GROUP BY 1 ORDER BY 1
"""


def documented(path: Path = DOCUMENT) -> Matrix:
    """What the document says, and nothing for the roles that it says may nothing."""
    section = path.read_text().split("\n## Tables\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    heads, tables = rows[0], rows[2:]
    said = {
        (role, row[0]): "" if letters == NOTHING else letters
        for row in tables
        for role, letters in zip(heads[1:], row[1:], strict=True)
    }
    return said | {(role, row[0]): "" for role in WITHOUT for row in tables}


def tried(house: House) -> Matrix:
    """What the server allows, for every role of the document and every table that is there."""
    roles = {role for role, _ in documented()}
    with house.session() as connection:
        tables = dict(connection.execute(TABLES).fetchall())
    return {
        (role, table): letters
        for role in sorted(roles)
        for table, letters in _of(house, role, tables)
    }


def differences(house: House) -> list[str]:
    """Where the server and the document disagree; empty when they are equal."""
    said, seen = documented(), tried(house)
    return [
        f"{role} on {table}: documented {said.get((role, table))!r}, "
        f"allowed {seen.get((role, table))!r}"
        for role, table in sorted(said.keys() | seen.keys())
        if said.get((role, table)) != seen.get((role, table))
    ]


def _of(house: House, role: str, tables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    with house.session(PEOPLE.get(role, role)) as connection:
        # A setting is no right: what a role may turn off does not hold it back.
        connection.execute("SET TRANSACTION READ WRITE")
        for table, column in tables.items():
            letters = (each for each in COMMANDS if _allows(connection, each, table, column))
            yield table, "".join(letters)


def _allows(connection: Connection, letter: str, table: str, column: str) -> bool:
    statement = sql.SQL(COMMANDS[letter]).format(
        table=sql.Identifier("public", table), column=sql.Identifier(column)
    )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except InsufficientPrivilege as error:
        # A policy refuses with the same code, and only who has the privilege comes so far.
        return "row-level security" in str(error)
    except (IntegrityError, FeatureNotSupported):
        # What the rows would have to be comes after whether they may be written.
        return True
    return True
