"""Seeds on a real server: which rows, the same rows twice, whole files or nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from shippyard.postgres.target import Target
from shippyard.setup.seed import SEEDS, SeedFailed, load_seeds

TABLES = (
    "countries",
    "cities",
    "companies",
    "users",
    "user_preferences",
    "addresses",
    "carriers",
    "shipments",
    "shipment_items",
    "shipment_events",
    "quotes",
    "bookings",
    "payments",
    "reviews",
)


def content(target: Target) -> dict[str, tuple[int, str]]:
    """Rows and a digest of every table but `now()` of reference data, which has none."""
    with psycopg.connect(**target.conninfo()) as connection:
        return {table: digest(connection, table) for table in TABLES}


def digest(connection: psycopg.Connection[tuple[object, ...]], table: str) -> tuple[int, str]:
    question = f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
    row = connection.execute(question.encode()).fetchone()
    assert row
    return int(str(row[0])), str(row[1])


def test_development_gets_everything_and_a_second_time_changes_nothing(at_head: Target) -> None:
    first = load_seeds(at_head, "development")
    assert [result.file for result in first] == ["countries.sql", "cities.sql", "dev_data.sql"]
    loaded = content(at_head)
    assert all(rows > 0 for rows, _ in loaded.values())
    assert sum(result.rows for result in first) == sum(rows for rows, _ in loaded.values())
    assert loaded["countries"][0] == 249
    assert loaded["cities"][0] >= 100
    assert 10_000 <= first[2].rows <= 20_000

    second = load_seeds(at_head, "development")
    assert [result.rows for result in second] == [0, 0, 0]
    assert content(at_head) == loaded


def test_the_same_rows_in_every_database(at_head: Target) -> None:
    load_seeds(at_head, "development")
    before = content(at_head)
    with psycopg.connect(**at_head.conninfo(), autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
    load_seeds(at_head, "development")
    assert content(at_head) == before


def test_reference_data_is_put_right_and_what_people_changed_is_left_alone(
    at_head: Target,
) -> None:
    load_seeds(at_head, "development")
    with psycopg.connect(**at_head.conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE countries SET name = 'Nowhere' WHERE code = 'FR'")
        connection.execute(
            "UPDATE users SET full_name = 'Me' WHERE email_v2 = 'person1@example.com'"
        )
        again = load_seeds(at_head, "development")
        assert [result.rows for result in again] == [1, 0, 0]
        assert connection.execute("SELECT name FROM countries WHERE code = 'FR'").fetchall() == [
            ("France",)
        ]
        assert connection.execute(
            "SELECT full_name FROM users WHERE email_v2 = 'person1@example.com'"
        ).fetchall() == [("Me",)]


def test_other_environments_get_reference_data_only(at_head: Target) -> None:
    assert [result.file for result in load_seeds(at_head, "testing")] == ["countries.sql"]
    assert content(at_head)["cities"][0] == 0
    load_seeds(at_head, "production")
    rows = {table: count for table, (count, _) in content(at_head).items() if count}
    assert set(rows) == {"countries", "cities"}


def test_a_file_is_loaded_whole_or_not_at_all(at_head: Target, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SEEDS, tmp_path / "seeds"))
    with (folder / "cities.sql").open("a") as file:
        file.write("\nINSERT INTO cities (name) VALUES ('Nowhere');\n")
    with pytest.raises(SeedFailed, match=r"^cities\.sql: null value") as failed:
        load_seeds(at_head, "production", folder)
    assert "\n" not in str(failed.value)
    assert {table: count for table, (count, _) in content(at_head).items() if count} == {
        "countries": 249
    }


def test_a_missing_file_is_found_before_anything_is_loaded(at_head: Target, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SEEDS, tmp_path / "seeds"))
    (folder / "cities.sql").unlink()
    with pytest.raises(SeedFailed, match=r"cities\.sql: can't be read"):
        load_seeds(at_head, "production", folder)
    assert content(at_head)["countries"][0] == 0


def test_an_unreachable_server_is_one_line(at_head: Target, tmp_path: Path) -> None:
    with pytest.raises(SeedFailed) as failed:
        load_seeds(replace(at_head, host=str(tmp_path)), "testing")
    assert "\n" not in str(failed.value)
