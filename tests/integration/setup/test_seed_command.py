"""`shippyard seed`: by environment, in volume at any revision, and never where it must not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from shippyard.cli.main import main
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.setup.schema import MIGRATIONS, dump_schema, make_policy_roles, url_of
from shippyard.setup.seed import REFERENCE, load_files
from shippyard.setup.volume.catalogue import NAMES
from shippyard.setup.volume.filling import FillRefused, Progress, fill
from shippyard.setup.volume.shape import Shape

SMALL = Shape(scale=0.01)


def migrate(target: Target, revision: str) -> None:
    config = Config(MIGRATIONS / "alembic.ini")
    with create_engine(url_of(target), poolclass=NullPool).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def counts(target: Target) -> dict[str, int]:
    found = {}
    with psycopg.connect(**target.conninfo()) as connection:
        for table in ("countries", "cities", *NAMES):
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row
            found[table] = int(row[0])
    return found


@pytest.fixture(scope="module")
def head(cluster: EmbeddedCluster) -> Iterator[str]:
    """A template at head, for the tests of this file."""
    admin = cluster.target()
    make_policy_roles(admin)
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE seed_head")
        migrate(replace(admin, dbname="seed_head"), "head")
        yield "seed_head"
        connection.execute("DROP DATABASE seed_head WITH (FORCE)")


@pytest.fixture
def at_head(cluster: EmbeddedCluster, head: str) -> Iterator[Target]:
    admin = cluster.target()
    with psycopg.connect(**admin.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE seed_here TEMPLATE {head}".encode())
        yield replace(admin, dbname="seed_here")
        connection.execute("DROP DATABASE seed_here WITH (FORCE)")


def configured(folder: Path, target: Target, environment: str) -> str:
    file = folder / f"{environment}.toml"
    file.write_text(
        f"""
environment = "{environment}"
[daemon]
state_dir = "{folder}"
[backup]
dir = "{folder}"
[[databases]]
name = "shippyar"
dbname = "{target.dbname}"
host = "{target.host}"
port = {target.port}
monitor = {{ user = "{target.user}" }}
backup = {{ user = "{target.user}" }}
migrator = {{ user = "{target.user}" }}
"""
    )
    return str(file)


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["seed", *arguments])
    assert isinstance(done.value.code, int)
    return done.value.code


def test_development_is_seeded_again_and_again(
    at_head: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, at_head, "development")
    assert ended("--config", file) == 0
    assert "dev_data.sql\t" in capsys.readouterr().out
    loaded = counts(at_head)
    assert min(loaded.values()) > 0
    assert ended("--config", file, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 0
    assert counts(at_head) == loaded


def test_production_gets_reference_data_when_it_is_asked_for_twice(
    at_head: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, at_head, "production")
    for not_enough in ([], ["--yes"], ["--database", "shippyar"]):
        assert ended("--config", file, *not_enough) == 3
        assert "shippyard seed --database shippyar --yes" in capsys.readouterr().err
    assert ended("--config", file, "--database", "shippyar", "--yes", "--scale", "1") == 3
    assert not any(counts(at_head).values())
    assert ended("--config", file, "--database", "shippyar", "--yes") == 0
    assert {table for table, rows in counts(at_head).items() if rows} == {"countries", "cities"}


def test_staging_gets_volume_once(
    at_head: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, at_head, "staging")
    assert ended("--config", file, "--scale", "0.01", "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert counts(at_head)["users"] == 100
    assert written["rows"] == sum(counts(at_head).values())
    assert ended("--config", file, "--scale", "0.01") == 3
    said = capsys.readouterr().err
    assert "companies has rows" in said
    assert "TRUNCATE companies, carriers, users," in said


def test_what_cannot_be_asked_for_is_one_line(
    at_head: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, at_head, "staging")
    for arguments, said in (
        (["--database", "other"], "no database 'other'"),
        (["--table", "users"], "--table goes with --scale"),
        (["--scale", "0.01", "--table", "ships"], "there is no volume for 'ships'"),
        (["--scale", "0"], "range"),
    ):
        assert ended("--config", file, *arguments) == 2
        assert said in capsys.readouterr().err
    assert not counts(at_head)["users"]


def test_any_revision_can_be_filled_and_taken_to_head(
    fresh_database: Target, processes: Processes
) -> None:
    make_policy_roles(fresh_database)
    for revision in ("001", "007"):
        migrate(fresh_database, revision)
        load_files(fresh_database, REFERENCE)
        before = dump_schema(fresh_database, server_tools(processes), processes)
        filled = fill(fresh_database, SMALL)
        assert dump_schema(fresh_database, server_tools(processes), processes) == before
        assert {each.table for each in filled} >= {"users", "reviews"}
        with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as connection:
            if revision == "001":
                connection.execute("TRUNCATE companies, carriers, users CASCADE")
    migrate(fresh_database, "head")
    assert counts(fresh_database)["users"] == 100


def test_a_table_alone_with_what_it_points_at_and_progress(at_head: Target) -> None:
    load_files(at_head, REFERENCE)
    seen: list[Progress] = []
    fill(at_head, SMALL, ["users"], seen.append)
    filled = {table for table, rows in counts(at_head).items() if rows}
    assert filled == {"countries", "cities", "companies", "users"}
    assert (seen[-1].rows, seen[-1].expected, seen[-1].left_s) == (106, 106, None)


def test_cities_are_needed(at_head: Target) -> None:
    with pytest.raises(FillRefused, match="cities is empty; load the reference data first"):
        fill(at_head, SMALL)


def test_stories_hold_together(at_head: Target) -> None:
    load_files(at_head, REFERENCE)
    fill(at_head, Shape(scale=0.05))
    never = {
        "sent before the account": "shipments s JOIN users u ON u.id = s.sender_id"
        " WHERE s.created_at < u.created_at",
        "from somebody else's door": "shipments s JOIN addresses a ON a.id = s.origin_address_id"
        " WHERE a.user_id <> s.sender_id",
        "joined before the company": "users u JOIN companies c ON c.id = u.company_id"
        " WHERE u.created_at < c.created_at",
        "delivered without saying so": "shipments s WHERE status = 'delivered' AND NOT EXISTS"
        " (SELECT FROM shipment_events e WHERE e.shipment_id = s.id AND kind = 'delivered')",
        "live without a booking": "shipments s WHERE status IN ('booked', 'in_transit')"
        " AND NOT EXISTS (SELECT FROM bookings b WHERE b.shipment_id = s.id"
        " AND status = 'confirmed')",
        "paid another sum than quoted": "payments p JOIN bookings b ON b.id = p.booking_id"
        " JOIN quotes q ON q.id = b.quote_id WHERE p.amount <> q.amount",
        "happened after the end": "shipment_events WHERE happened_at > '2026-10-01+00'",
        "a company's person without its tier": "users WHERE company_id IS NOT NULL"
        " AND subscription_tier <> 'business'",
    }
    with psycopg.connect(**at_head.conninfo()) as connection:
        for story, question in never.items():
            found = connection.execute(f"SELECT count(*) FROM {question}".encode()).fetchall()
            assert found == [(0,)], story
        analysed = "SELECT reltuples FROM pg_class WHERE relname = 'users'"
        assert connection.execute(analysed).fetchall() == [(500.0,)]
