"""Owns opening the state database and bringing it to the schema this version wants.

SQLite in WAL mode with `synchronous=FULL`: what a committed transaction said survives a power cut.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from shippyard.state.tables import metadata

BUSY_TIMEOUT_MS = 5_000
FILE_NAME = "state.sqlite3"
LOCK_NAME = "daemon.lock"
MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "alembic_version"


class StateUnusable(Exception):
    """The state database can't be opened or brought up to date; says which file and why."""


class State:
    """Transactions on the state database. Safe to use from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; commits when the block ends."""
        with self._engine.connect().execution_options(begin="IMMEDIATE") as connection:
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one snapshot and blocks nobody."""
        with self._engine.connect().execution_options(begin="DEFERRED") as connection:
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


@contextlib.contextmanager
def open_state(state_dir: Path) -> Iterator[State]:
    """The state database in `state_dir` (made when missing), at this version's schema.

    Raises:
        StateUnusable: the folder or the file can't be used.
    """
    path = state_dir / FILE_NAME
    with contextlib.ExitStack() as stack:
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(_only_user_of(state_dir))
            state = State(_ready_engine(path))
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            raise StateUnusable(f"state database {path}: {' '.join(str(error).split())}") from None
        stack.callback(state.close)
        yield state


def _ready_engine(path: Path) -> Engine:
    engine = _engine(path)
    try:
        _upgrade(engine)
        path.chmod(0o600)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextlib.contextmanager
def _only_user_of(state_dir: Path) -> Iterator[None]:
    """Two daemons on one state would sweep each other's work: the second one is refused."""
    with (state_dir / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateUnusable(
                f"{state_dir} is in use by another shippyard; "
                "stop that one, or give this one a daemon.state_dir of its own"
            ) from None
        yield


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver's own transaction control is off: BEGIN is ours, so that IMMEDIATE is possible.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode: Any = connection.get_execution_options().get("begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _upgrade(engine: Engine) -> None:
    """A new file gets the tables as they are now; an older one goes through the revisions."""
    with engine.connect() as connection, connection.begin():
        version = _version(connection)
        if version is None:
            metadata.create_all(connection)
            _stamp(connection)
        elif version != _newest():
            _run_revisions(connection)


def _version(connection: Connection) -> str | None:
    """The revision that the file is at; None when there is nothing in it."""
    if not inspect(connection).get_table_names():
        return None
    return str(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar_one())


def _newest() -> str:
    """Revisions are numbered by the names of their files."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*.py"))


def _stamp(connection: Connection) -> None:
    create = f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    connection.exec_driver_sql(create)
    connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (_newest(),))


def _run_revisions(connection: Connection) -> None:
    # Only here: it is a tenth of a daemon's memory, which one that is up to date can spare.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
