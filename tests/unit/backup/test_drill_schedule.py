"""The scheduled job drills every kind there is, one after the other, and an older one each."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from shippyard.backup.drill.model import Drill, DrillOutcome, DrillRefused
from shippyard.backup.drill.schedule import jobs
from shippyard.backup.drill.service import Drills
from shippyard.backup.model import BackupFailed
from shippyard.config.models import Config

LOGIN = {"user": "u"}
NOW = datetime(2026, 3, 4, tzinfo=UTC)


class Fake:
    """Two subjects; of dumps there are several."""

    def __init__(self, outcome: DrillOutcome = "passed", refused: str | None = None) -> None:
        self.ran: list[tuple[Any, ...]] = []
        self._outcome = outcome
        self._refused = refused

    def subjects(self) -> list[str]:
        return ["shop", "@main"]

    def kinds(self, subject: str) -> tuple[str, ...]:
        return ("dump", "schema") if subject == "shop" else ("base",)

    def older_exists(self, subject: str, kind: str) -> bool:
        return kind != "base"

    def run(self, subject: str, kind: Any, reason: Any, *, older: bool = False) -> Drill:
        self.ran.append((subject, kind, older))
        if kind == self._refused:
            raise DrillRefused("a drill runs already")
        return Drill("d", "b", subject, kind, reason, NOW, self._outcome, error="why")


def config(**drill: Any) -> Config:
    shop = {"name": "shop", "dbname": "shop", "monitor": LOGIN, "backup": LOGIN}
    backup = {"dir": Path("/b"), "drill": drill}
    daemon = {"state_dir": Path("/s")}
    parts = {"environment": "testing", "daemon": daemon, "databases": [shop], "backup": backup}
    return Config.model_validate(parts)


def run(fake: Fake, **drill: Any) -> str:
    made = jobs(cast("Drills", fake), config(schedule="0 4 * * *", **drill))
    assert [(job.name, job.schedule) for job in made] == [("backup.drill", "0 4 * * *")]
    return made[0].run()


def test_without_a_schedule_there_is_no_job() -> None:
    assert jobs(cast("Drills", Fake()), config()) == []


def test_every_kind_and_an_older_dump() -> None:
    fake = Fake()
    assert run(fake) == "4 backups were restored and found right"
    assert fake.ran == [
        ("shop", "dump", False),
        ("shop", "dump", True),
        ("shop", "schema", False),
        ("@main", "base", False),
    ]


def test_older_ones_can_be_left_out() -> None:
    fake = Fake()
    run(fake, random_older=False)
    assert not any(older for _, _, older in fake.ran)


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_one_that_did_not_pass_fails_the_job_after_all_were_tried(outcome: DrillOutcome) -> None:
    fake = Fake(outcome)
    with pytest.raises(BackupFailed, match=f"b {outcome}: why"):
        run(fake)
    assert len(fake.ran) == 4


def test_one_that_is_refused_keeps_none_from_the_next() -> None:
    fake = Fake(refused="dump")
    with pytest.raises(BackupFailed, match="runs already"):
        run(fake)
    assert len(fake.ran) == 4
