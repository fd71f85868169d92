"""The look of each minute: what it tells, shows and remembers."""

from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.catalog import Catalog
from shippyard.backup.lateness import LATE, Lateness
from shippyard.backup.model import Backup, Kind
from shippyard.config.models import Config
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from tests.conftest import Eventually, FakeClock

DAY_S = 86_400.0


class Watch:
    def __init__(self, folder: Path, state: State, clock: FakeClock, **settings: Any) -> None:
        login = {"user": "backup_user"}
        one = {"dbname": "d", "monitor": login, "backup": login}
        backup = {"dir": folder / "backups", "schema_schedule": "", **settings}
        self.config = Config.model_validate(
            {
                "environment": "testing",
                "daemon": {"state_dir": folder / "state"},
                "backup": backup,
                "databases": [
                    {"name": "shop", "criticality": "critical", **one},
                    {"name": "cms", "cluster": "other", "port": 5433, **one},
                ],
            }
        )
        self.state, self.clock = state, clock
        self.told: list[Condition] = []
        self.lateness = Lateness(
            self.config,
            state=state,
            clock=clock,
            tell=self.told.append,
            last_drill=lambda _: None,
        )

    def look(self) -> dict[tuple[str, str], Condition]:
        self.told.clear()
        self.lateness.look(self.clock.now())
        return {(each.rule, each.subject): each for each in self.told}

    def made(self, subject: str, kind: Kind = "dump", **fields: Any) -> None:
        at = self.clock.now()
        backup = Backup(
            f"{at:%Y%m%d%H}-{subject}", subject, kind, "published", "manual", at, at, **fields
        )
        Catalog(self.state).add(backup)
        (self.config.backup.dir / subject).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def watch(tmp_path: Path, state: State, clock: FakeClock) -> Watch:
    return Watch(tmp_path, state, clock)


def test_all_is_told_to_be_well_at_first(watch: Watch) -> None:
    told = watch.look()
    assert set(told) == {(LATE, "shop"), (LATE, "cms")}
    assert [condition.summary for condition in told.values()] == [None, None]


def test_a_missed_dump_pages_where_it_is_critical_until_one_is_taken(
    watch: Watch, clock: FakeClock
) -> None:
    watch.look()
    clock.advance(DAY_S)
    told = watch.look()
    shop, cms = told[LATE, "shop"], told[LATE, "cms"]
    assert shop.summary == (
        "backups of shop: the dump of 2026-03-05 02:15Z was missed; "
        "run: shippyard ctl backup run shop --kind dump"
    )
    assert (shop.severity, cms.severity) == ("page", "ticket")
    watch.made("shop")
    assert watch.look()[LATE, "shop"].summary is None


def test_it_remembers_over_a_restart_since_when_it_watches(
    watch: Watch, tmp_path: Path, state: State, clock: FakeClock
) -> None:
    watch.look()
    clock.advance(DAY_S)
    again = Watch(tmp_path, state, clock)
    assert again.look()[LATE, "shop"].summary is None  # it came up this second
    clock.advance(1000)
    assert again.look()[LATE, "shop"].summary is not None


def test_a_folder_that_is_away_is_said_to_be(watch: Watch, clock: FakeClock) -> None:
    watch.made("shop")
    watch.look()
    watch.config.backup.dir.rename(watch.config.backup.dir.with_name("away"))
    clock.advance(60)
    summary = watch.look()[LATE, "shop"].summary
    assert summary
    assert "its backups can't be seen" in summary
    assert "is it mounted?" in summary
    assert watch.look()[LATE, "cms"].summary is None


def test_a_clusters_base_backups_are_expected_too(
    tmp_path: Path, state: State, clock: FakeClock
) -> None:
    watch = Watch(tmp_path, state, clock, clusters={"main": {"wal": "archive"}})
    assert watch.look()[LATE, "@main"].summary is None
    clock.advance(10 * DAY_S)
    assert "the base of 2026-03-08 01:15Z was missed" in str(watch.look()[LATE, "@main"].summary)


def test_drills_are_late_too(tmp_path: Path, state: State, clock: FakeClock) -> None:
    watch = Watch(tmp_path, state, clock, drill={"schedule": "0 4 * * *"}, dump_schedule="")
    watch.look()
    clock.advance(2.5 * DAY_S)
    summary = watch.look()[LATE, "cms"].summary
    assert "the drill of 2026-03-06 04:00Z was missed (never)" in str(summary)


def test_it_looks_by_itself_and_stops_at_any_time(watch: Watch, eventually: Eventually) -> None:
    watch.lateness.start()
    watch.lateness.start()
    eventually(lambda: len(watch.told) == 2)
    watch.lateness.stop()
    watch.lateness.stop()
    never = Lateness(watch.config, state=watch.state, clock=watch.clock, tell=watch.told.append)
    never.stop()
    assert len(watch.told) == 2
