"""A cluster's other databases are visited, found when created and left when dropped."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shippyard.config.models import CheckOverride, Database, Health, Login
from shippyard.health.joined import Ground, Watch, watch
from shippyard.health.live import LiveHealth
from shippyard.health.loader import load_checks
from shippyard.health.model import Observation
from shippyard.health.rover import Rover
from shippyard.host.clock import SystemClock
from shippyard.host.pulse import Pulse
from shippyard.postgres.target import Target
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of

TOML = """
summary = "Sessions of ours"
scope = "database"
cadence = "fast"
every_s = 0.2
timeout_s = 1
[metric]
name = "own_sessions"
[alert]
when = "value > 0"
severity = "info"
"""
SQL = "SELECT count(*) AS value FROM pg_stat_activity WHERE application_name = 'shippyard:health'"


class House:
    """A rover that makes its rounds when told, and what came out."""

    def __init__(self, target: Target, folder: Path) -> None:
        (folder / "own.toml").write_text(TOML)
        (folder / "own.sql").write_text(SQL)
        self.prefix = f"{target.dbname}_"
        role = Login(user=target.user)
        home = Database(
            name="shop", host=target.host, dbname=target.dbname, monitor=role, backup=role
        )
        off = {check.name: CheckOverride(enabled=False) for check in load_checks(Health())}
        del off["server"]
        health = Health(reach="all", include=(f"{self.prefix}*",), checks_dir=folder, checks=off)
        self.metrics, clock = Metrics(), SystemClock()
        self.exposition = Exposition(self.metrics)
        self.observed: list[Observation] = []
        ground = Ground(
            self.exposition,
            self.metrics,
            LiveHealth([home], clock),
            clock,
            Pulse(clock),
            self.observed.append,
        )
        self.watch: Watch = watch([home], health, load_checks(health), ground)
        self.rover: Rover = self.watch.rovers[0]

    def shown(self) -> list[str]:
        """Whatever is said of the visited databases."""
        lines = self.exposition.render().decode().splitlines()
        return [line for line in lines if f'database="{self.prefix}' in line]


@pytest.fixture
def house(fresh_database: Target, tmp_path: Path) -> Iterator[House]:
    made = House(watcher_of(fresh_database), tmp_path)
    yield made
    made.rover.stop()


@pytest.fixture
def make(fresh_database: Target) -> Iterator[Callable[[str], str]]:
    """Makes a database whose name begins as that of the home database."""
    made: list[str] = []
    with connect(fresh_database) as admin:

        def create(ending: str) -> str:
            name = f"{fresh_database.dbname}_{ending}"
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
            made.append(name)
            return name

        yield create
        for name in made:
            admin.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false'.encode())
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_created_ones_are_found_and_of_dropped_ones_nothing_stays(
    house: House, make: Callable[[str], str], fresh_database: Target
) -> None:
    house.rover.round()
    assert house.shown() == []
    orders, stock = make("orders"), make("stock")
    house.rover.round()
    for name in (orders, stock):
        # One connection at a time: each visit sees itself alone.
        assert f'own_sessions{{database="{name}"}} 1' in house.shown()
    assert {status.name for status in house.rover.statuses()} == {orders, stock}

    with connect(fresh_database) as admin:
        admin.execute(f'DROP DATABASE "{stock}"'.encode())
        house.rover.round()
        admin.execute(f'CREATE DATABASE "{stock}"'.encode())  # for the end of the test
    assert not [line for line in house.shown() if stock in line]
    assert [line for line in house.shown() if orders in line]
    ended = [seen for seen in house.observed if seen.database == stock]
    assert ended[0].finding is not None
    assert ended[-1].finding is None, "what was found in a dropped database is over"


def test_ones_that_refuse_are_left_out(
    house: House, make: Callable[[str], str], fresh_database: Target
) -> None:
    fine, template, closed = make("fine"), make("template"), make("closed")
    with connect(fresh_database) as admin:
        admin.execute(f'ALTER DATABASE "{template}" IS_TEMPLATE true'.encode())
        admin.execute(f'REVOKE CONNECT ON DATABASE "{closed}" FROM PUBLIC'.encode())
    house.rover.round()
    assert {status.name for status in house.rover.statuses()} == {fine}


def test_one_that_refuses_all_at_once_harms_only_itself(
    house: House, make: Callable[[str], str], fresh_database: Target, eventually: Eventually
) -> None:
    gone, stays = make("gone"), make("stays")
    house.rover.round()
    with connect(fresh_database) as admin:
        admin.execute(f'ALTER DATABASE "{gone}" CONNECTION LIMIT 0'.encode())

    def is_down() -> bool:
        house.rover.round()  # a visit is made only when something is due there
        return not {status.name: status.up for status in house.rover.statuses()}[gone]

    eventually(is_down)
    assert f'own_sessions{{database="{stays}"}} 1' in house.shown()
    assert not [line for line in house.shown() if f'own_sessions{{database="{gone}"' in line]


def test_what_is_shown_ends_with_the_rover(house: House, make: Callable[[str], str]) -> None:
    make("orders")
    house.rover.round()
    house.rover.start()
    house.rover.stop()
    assert house.shown() == []
