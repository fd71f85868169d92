"""How each subject's backups stand: what is known, what is unknown, and the worst problem first."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.drill.model import Drill, DrillOutcome
from shippyard.backup.model import Backup, BackupState, Kind
from shippyard.backup.offsite.copies import CopyRecord, CopyState
from shippyard.backup.overview import Overview, problems_of
from shippyard.backup.survey import Survey
from shippyard.backup.wal.standing import WalStanding
from shippyard.config.models import Config
from tests.conftest import FakeClock

CLOCK = FakeClock()
NOW = CLOCK.now()
LOGIN = {"user": "shippyard"}


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def backup(
    subject: str, kind: Kind, minutes: float, state: BackupState = "published", *, away: bool = True
) -> Backup:
    return Backup(
        f"{subject}-{kind}-{minutes}",
        subject,
        kind,
        state,
        "schedule",
        ago(minutes),
        replicated_at=NOW if away else None,
    )


def copy(of: Backup, state: CopyState = "verified", error: str | None = None) -> CopyRecord:
    return CopyRecord(of.id, "there", state, of.database, of.kind, of.started_at, error=error)


@dataclass
class Room:
    """Every part that is asked, answering as it is told."""

    root: Path
    backups: list[Backup] = field(default_factory=list)
    drills: list[Drill] = field(default_factory=list)
    forecasts: dict[Kind, float] = field(default_factory=dict)
    copied: list[CopyRecord] = field(default_factory=list)
    due: list[Backup] = field(default_factory=list)
    wal: WalStanding | OSError | None = None
    why_frozen: str | None = None
    has_place: bool = True
    cluster: dict[str, Any] = field(default_factory=dict)

    def history(self, subject: str | None = None) -> list[Backup]:
        found = [each for each in self.backups if subject in (None, each.database)]
        return sorted(found, key=lambda each: each.started_at, reverse=True)

    def frozen(self) -> str | None:
        return self.why_frozen

    def subjects(self) -> list[str]:
        return ["shop", "@main"]

    def last(self, subject: str, kind: Kind) -> Drill | None:
        return next((d for d in self.drills if (d.database, d.kind) == (subject, kind)), None)

    def forecast_now(self, subject: str, kind: Kind) -> float | None:
        return self.forecasts.get(kind)

    def records(self) -> list[CopyRecord]:
        return self.copied

    def waiting(self) -> list[Backup]:
        return self.due

    def standing(self, subject: str) -> WalStanding | None:
        assert subject == "@main"
        if isinstance(self.wal, OSError):
            raise self.wal
        return self.wal

    def survey(self) -> Survey:
        shop = {"name": "shop", "dbname": "shop", "criticality": "critical"}
        config = Config.model_validate(
            {
                "environment": "testing",
                "daemon": {"state_dir": self.root},
                "databases": [{**shop, "monitor": LOGIN, "backup": LOGIN}],
                "backup": {"dir": self.root, "clusters": {"main": self.cluster}},
            }
        )
        return Survey(
            config,
            backups=self,
            drills=self,
            copies=self if self.has_place else None,
            place="there" if self.has_place else None,
            arrivals=self,
            clock=CLOCK,
        )

    def seen(self, subject: str) -> Overview:
        return next(each for each in self.survey().look(NOW) if each.subject == subject)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A room in which all is well."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "@main").mkdir()
    kept = [backup("shop", "dump", 60), backup("shop", "schema", 61), backup("@main", "base", 90)]
    arriving = WalStanding("receiving", "0" * 24, ago(0.1), ago(1), gaps=0)
    drilled = [drill("shop", "dump"), drill("shop", "schema"), drill("@main", "base")]
    return Room(tmp_path, kept, drilled, {"dump": 5.0}, [copy(b) for b in kept], wal=arriving)


def drill(subject: str, kind: Kind, outcome: DrillOutcome = "passed") -> Drill:
    error = "3 rows differ" if outcome == "failed" else None
    return Drill(
        f"d-{kind}", "b", subject, kind, "schedule", ago(30), outcome, NOW, 4.0, error=error
    )


def test_all_is_well(room: Room) -> None:
    answer = room.survey().describe()
    assert (answer["frozen"], answer["place"]) == (None, "there")
    shop, main = answer["subjects"]
    assert shop["objective"] == main["objective"] == {"rpo_s": 900.0, "rto_s": 14400.0}
    assert main["newest"]["base"]["age_s"] == 90 * 60
    assert shop["loss"] == main["loss"] == {"cluster": 6.0, "machine": 60.0}
    assert main["wal"]["last_segment"] == "0" * 24
    assert shop["wal"] is None
    assert shop["drills"]["dump"]["rto_s"] == 4.0
    assert shop["drills"]["dump"]["forecast_s"] == 5.0
    assert main["copies"] == {
        "newest": "@main-base-90",
        "age_s": 90 * 60,
        "waiting": 0,
        "error": None,
    }
    assert shop["problems"] == main["problems"] == []


def test_what_was_copied_is_said_of_the_kind_that_brings_everything_back(room: Room) -> None:
    room.copied.insert(0, copy(backup("shop", "schema", 1)))
    copies = room.seen("shop").copies
    assert copies
    assert copies.newest
    assert copies.newest.kind == "dump"


def test_nothing_to_restore_comes_before_all_else(room: Room) -> None:
    room.backups = [backup("@main", "base", 9, "failed")]
    room.wal = WalStanding("stopped", trouble="its receiver is not running", gaps=2)
    seen = room.seen("@main")
    assert (seen.loss.cluster, seen.loss.machine) == ("all", "all")
    first, second, third, *_ = problems_of(seen)
    assert first == "no verified base; run: shippyard ctl backup run @main --kind base"
    assert second == "2 gaps in its WAL; see: shippyard ctl backup timeline @main"
    assert third == "WAL: its receiver is not running"


def test_a_failed_drill_a_slow_restore_and_a_backlog_are_told_in_that_order(room: Room) -> None:
    room.drills[0] = drill("shop", "dump", "failed")
    room.forecasts["dump"] = 5 * 3600.0
    newer = backup("shop", "dump", 3, away=False)
    room.due = [newer, backup("shop", "schema", 4, away=False)]
    room.copied.append(copy(newer, "failed", "the line is cut"))
    told = problems_of(room.seen("shop"))
    assert [line.split("; ")[0] for line in told] == [
        "the last drill of its dump failed: 3 rows differ",
        "a restore would take about 5.0 h",
        "2 wait to be copied off the machine: the line is cut",
    ]


def test_a_backlog_that_is_being_worked_off_is_no_problem(room: Room) -> None:
    room.due = [backup("shop", "dump", 3, away=False)]
    seen = room.seen("shop")
    assert seen.copies
    assert seen.copies.waiting == 1
    assert problems_of(seen) == []


def test_losing_more_than_is_promised_is_a_problem(room: Room) -> None:
    room.wal = WalStanding("receiving", "0" * 24, ago(0.1), ago(20), gaps=0)
    (told,) = problems_of(room.seen("@main"))
    assert told == (
        "losing the machine now would lose 20 min, at most 15 min is promised; "
        "run: shippyard ctl backup run @main"
    )


def test_a_kind_that_was_never_drilled_is_told_last(room: Room) -> None:
    room.drills = room.drills[1:]
    assert problems_of(room.seen("shop")) == [
        "its dump was never drilled; run: shippyard ctl drill run shop --kind dump"
    ]
    room.backups = [each for each in room.backups if each.kind != "dump"]
    assert "drilled" not in str(problems_of(room.seen("shop")))


def test_before_the_server_was_asked_what_would_be_lost_is_unknown(room: Room) -> None:
    room.wal = WalStanding("receiving", "0" * 24)
    for subject in ("shop", "@main"):
        loss = room.seen(subject).loss
        assert (loss.cluster, loss.machine) == (None, None)


def test_wal_that_never_came_bridges_nothing(room: Room) -> None:
    room.wal = WalStanding("not begun")
    loss = room.seen("@main").loss
    assert (loss.cluster, loss.machine) == (90 * 60, 90 * 60)


def test_wal_that_cant_be_looked_at_is_unknown_and_says_why(room: Room) -> None:
    room.wal = OSError("Permission denied")
    seen = room.seen("@main")
    assert seen.loss.cluster is None
    assert problems_of(seen) == ["WAL: it can't be looked at: Permission denied"]


def test_without_a_place_the_machine_takes_all(room: Room) -> None:
    room.has_place = False
    room.backups = [backup(b.database, b.kind, 60, away=False) for b in room.backups]
    room.wal = WalStanding("receiving", "0" * 24, ago(0.1), gaps=0)
    seen = room.seen("@main")
    assert (seen.loss.cluster, seen.loss.machine, seen.copies) == (6.0, "all", None)


def test_what_another_engine_copies_away_is_unknown(room: Room) -> None:
    room.cluster = {"engine": "pgbackrest", "stanza": "main"}
    room.wal = None
    seen = room.seen("@main")
    assert (seen.loss.machine, seen.copies) == (None, None)


def test_a_folder_that_cant_be_read_is_all_there_is_to_say(room: Room) -> None:
    (room.root / "shop").rmdir()
    (told,) = problems_of(room.seen("shop"))
    assert told.startswith("its backups can't be seen: ")


def test_why_nothing_is_pruned_is_said(room: Room) -> None:
    room.why_frozen = "3 backups were found"
    assert room.survey().describe()["frozen"] == "3 backups were found"
