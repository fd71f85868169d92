"""Backup gauges say what the catalog says, of databases in the configuration and no others."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.catalog import Catalog
from shippyard.backup.model import Backup, Kind, moved
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock

GAUGES = (
    "last_success_timestamp_seconds",
    "last_size_bytes",
    "last_duration_seconds",
    "published",
)


class Shop:
    """Services over one state and one set of metrics, as reloads make them."""

    def __init__(self, state: State, clock: FakeClock, folder: Path) -> None:
        self.state = state
        self.clock = clock
        self.folder = folder
        self.metrics = Metrics()
        self.catalog = Catalog(state)

    def service(self, *databases: str, clusters: dict[str, Any] | None = None) -> BackupService:
        login = {"user": "m"}
        config = Config.model_validate(
            {
                "environment": "testing",
                "daemon": {"state_dir": self.folder / "state"},
                "backup": {"dir": self.folder / "backups", "clusters": clusters or {}},
                "databases": [
                    {"name": name, "dbname": name, "monitor": login, "backup": login}
                    for name in databases
                ],
            }
        )
        return BackupService(
            config,
            {name: Target("/nowhere", 5432, name, "m") for name in databases},
            processes=Processes(),
            state=self.state,
            metrics=self.metrics,
            clock=self.clock,
        )

    def add(self, backup_id: str, database: str, kind: Kind = "dump") -> Backup:
        self.clock.advance(60)
        at = self.clock.now()
        backup = Backup(
            backup_id, database, kind, "published", "manual", at, at + timedelta(1), 2.0, 30
        )
        self.catalog.add(backup)
        return backup

    def gauges(self, database: str, kind: Kind = "dump") -> list[float | None]:
        labels = {"database": database, "kind": kind}
        value = self.metrics.registry.get_sample_value
        return [value(f"shippyard_backup_{name}", labels) for name in GAUGES]


NOTHING = [None] * 4


@pytest.fixture
def shop(state: State, clock: FakeClock, tmp_path: Path) -> Shop:
    return Shop(state, clock, tmp_path)


def test_a_refresh_shows_the_newest_that_counts_and_may_be_repeated(shop: Shop) -> None:
    service = shop.service("a", "b")
    shop.add("a1", "a")
    newest = shop.add("a2", "a")
    shop.catalog.add(replace(newest, id="a3", state="failed"))
    for _ in range(2):
        service.refresh_metrics()
        assert shop.gauges("a") == [newest.started_at.timestamp(), 30, 2, 2]
        assert shop.gauges("a", "schema") == shop.gauges("b") == [None, None, None, 0]


def test_a_refresh_reads_the_catalog_once_whatever_the_number_of_databases(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = shop.service(*"abcdef")
    reads = 0
    read = shop.state.read

    def counted() -> object:
        nonlocal reads
        reads += 1
        return read()

    monkeypatch.setattr(shop.state, "read", counted)
    service.refresh_metrics()
    assert reads == 1


def test_a_database_has_no_base_backups_and_a_cluster_nothing_else(shop: Shop) -> None:
    service = shop.service("a", clusters={"main": {}})
    base = shop.add("m1", "@main", "base")
    service.refresh_metrics()
    assert shop.gauges("@main", "base")[0] == base.started_at.timestamp()
    assert shop.gauges("@main", "dump") == shop.gauges("a", "base") == NOTHING
    assert shop.gauges("a", "dump") == [None, None, None, 0]


def test_databases_that_left_are_shown_no_more_and_others_stay(shop: Shop) -> None:
    old = shop.service("a", "b")
    shop.add("a1", "a")
    shop.add("a2", "a", "schema")
    shop.add("b1", "b")
    old.refresh_metrics()
    others = shop.gauges("b")
    new = shop.service("b")
    new.refresh_metrics()
    new.forget_metrics({"a"})
    assert shop.gauges("a") == shop.gauges("a", "schema") == NOTHING
    assert shop.gauges("b") == others
    new.forget_metrics({"a", "never there"})
    new.refresh_metrics()
    assert shop.gauges("a") == NOTHING


def test_a_service_that_was_told_shows_no_late_backup_of_what_left(shop: Shop) -> None:
    old = shop.service("a", "b")
    old.forget_metrics(["a"])
    old._teller.succeeded(shop.add("a1", "a"))
    assert shop.gauges("a") == NOTHING
    late = shop.add("b1", "b")
    old._teller.succeeded(late)
    assert shop.gauges("b")[0] == late.started_at.timestamp()


def test_what_is_noticed_of_a_database_not_in_the_configuration_is_not_shown(shop: Shop) -> None:
    service = shop.service("b")
    backup = shop.add("a1", "a")
    shop.catalog.move(backup, moved(backup, "missing", "gone"))
    service._gauges.show("a", "dump")
    assert shop.gauges("a") == NOTHING


def test_a_database_that_comes_back_is_shown_again(shop: Shop) -> None:
    backup = shop.add("a1", "a")
    shop.service("b").forget_metrics(["a"])
    shop.service("a", "b").refresh_metrics()
    assert shop.gauges("a")[0] == backup.started_at.timestamp()
