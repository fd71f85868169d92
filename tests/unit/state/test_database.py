"""State is kept, is private, and comes up to date by itself."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, inspect, select
from sqlalchemy.exc import StatementError

from shippyard.state.database import FILE_NAME, MIGRATIONS, State, StateUnusable, open_state
from shippyard.state.tables import audit, job_runs, metadata

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)


def test_the_revisions_give_what_the_tables_say(tmp_path: Path) -> None:
    _at_the_first_revision(tmp_path / FILE_NAME)
    with open_state(tmp_path) as state, state.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_a_new_file_is_like_one_that_came_through_the_revisions(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    _at_the_first_revision(old / FILE_NAME)
    shapes = []
    for folder in (old, new):
        with open_state(folder) as state, state.read() as connection:
            shapes.append(_shape(connection))
    assert shapes[0] == shapes[1]


def _at_the_first_revision(file: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with create_engine(f"sqlite:///{file}").connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")


def _shape(connection: Connection) -> dict[str, Any]:
    """Tables with columns and keys, in whatever order; indexes; and the version they are at."""
    looked = inspect(connection)
    tables = {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in looked.get_columns(name)),
            looked.get_pk_constraint(name)["constrained_columns"],
            sorted(str(key["constrained_columns"]) for key in looked.get_foreign_keys(name)),
            sorted(str(each["column_names"]) for each in looked.get_unique_constraints(name)),
            sorted((str(each["name"]), each["unique"]) for each in looked.get_indexes(name)),
        )
        for name in looked.get_table_names()
    }
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    return {**tables, "version": version}


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    row = {"job": "a", "due_at": NOW, "started_at": NOW, "outcome": "done", "detail": ""}
    with open_state(tmp_path) as state, state.write() as connection:
        connection.execute(insert(job_runs).values(**row))
    with open_state(tmp_path) as state, state.read() as connection:
        assert connection.execute(select(job_runs.c.due_at)).scalar_one() == NOW
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_commits_survive_power_cuts(state: State) -> None:
    with state.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_failed_block_changes_nothing(state: State) -> None:
    with pytest.raises(RuntimeError), state.write() as connection:
        connection.execute(
            insert(job_runs).values(job="a", due_at=NOW, started_at=NOW, outcome="x", detail="")
        )
        raise RuntimeError
    with state.read() as connection:
        assert connection.execute(select(job_runs)).all() == []


def test_naive_times_are_refused(state: State) -> None:
    with pytest.raises(StatementError, match="naive"), state.write() as connection:
        connection.execute(insert(audit).values(at=datetime(2026, 1, 1)))  # noqa: DTZ001  the point


def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(StateUnusable, match=FILE_NAME) as caught, open_state(tmp_path):
        pass
    assert "\n" not in str(caught.value)


def test_a_second_user_is_refused_and_the_first_unharmed(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        with pytest.raises(StateUnusable, match="in use by another"), open_state(tmp_path):
            pass
        with state.read() as connection:
            assert connection.execute(select(job_runs)).all() == []


def test_writers_wait_for_each_other(state: State, tmp_path: Path) -> None:
    with state.write():
        other = sqlite3.connect(tmp_path / "state" / FILE_NAME, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
