"""Owns loading seed files: which ones an environment gets, one transaction for each file.

The files can be loaded again and again; what is there and equal is left alone. Refuses to know what
is in them, and never loads invented data where real people work.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg

from shippyard.config.base import Environment
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target

SEEDS = Path(__file__).parents[2] / "migrations" / "seeds"
STATEMENT_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 2
CONNECT_TIMEOUT_S = 5
MAX_FILE_BYTES = 16 * 1024 * 1024

# Countries come before the cities that point at them.
REFERENCE = ("countries.sql", "cities.sql")
FILES: Mapping[Environment, tuple[str, ...]] = {
    "development": (*REFERENCE, "dev_data.sql"),
    "testing": ("countries.sql",),
    "staging": REFERENCE,
    "production": REFERENCE,
}


class SeedFailed(Exception):
    """A file could not be loaded, nothing of it is there; the message is one line."""


@dataclass(frozen=True)
class SeedResult:
    """What loading one file did. `rows` counts rows written: 0 when all were there and equal."""

    file: str
    rows: int
    elapsed_s: float


def load_seeds(target: Target, environment: Environment, folder: Path = SEEDS) -> list[SeedResult]:
    """Load the environment's seed files, in order, each in a transaction of its own.

    Raises:
        SeedFailed: a file is missing or too big, the database can't be reached, or it refused;
            files before the failing one stay loaded.
    """
    return load_files(target, FILES[environment], folder)


def load_files(target: Target, names: Sequence[str], folder: Path = SEEDS) -> list[SeedResult]:
    """Load these seed files, in order, each in a transaction of its own.

    Row level security is an error here and never a filter: a role that is held to it would find
    nothing there and add what it then can't see.

    Raises:
        SeedFailed: as `load_seeds`.
    """
    texts = [(name, _read(folder / name)) for name in names]
    try:
        connection = psycopg.connect(
            **target.conninfo(),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="shippyard:seed",
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c lock_timeout={LOCK_TIMEOUT_S}s -c row_security=off",
        )
    except psycopg.Error as error:
        raise SeedFailed(f"{target}: {one_line(error)}") from None
    with connection:
        return [_load(connection, name, text) for name, text in texts]


def _read(path: Path) -> LiteralString:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SeedFailed(f"{path} is over {MAX_FILE_BYTES} bytes; split it")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SeedFailed(f"{path}: can't be read: {error}") from None
    trusted: LiteralString = text  # a file of ours, never input
    return trusted


def _load(
    connection: psycopg.Connection[tuple[object, ...]], name: str, text: LiteralString
) -> SeedResult:
    started = time.monotonic()
    try:
        with connection.transaction():
            rows = _rows_written(connection.execute(text))
    except psycopg.Error as error:
        raise SeedFailed(f"{name}: {one_line(error)}") from None
    return SeedResult(name, rows, time.monotonic() - started)


def _rows_written(cursor: psycopg.Cursor[tuple[object, ...]]) -> int:
    """The sum over every statement of a file."""
    rows = max(0, cursor.rowcount)
    while cursor.nextset():
        rows += max(0, cursor.rowcount)
    return rows
