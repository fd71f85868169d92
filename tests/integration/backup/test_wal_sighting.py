"""A slot that was never made is not one that has gone, over restarts and without our memory."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.arrival import Arrival
from shippyard.backup.wal.guard import SlotGuard
from shippyard.backup.wal.server import Answer
from shippyard.backup.wal.sighting import Sighting
from shippyard.backup.wal.slot import SlotFacts
from shippyard.backup.wal.status import FIRST_S, ReceiverStatus, write_status
from shippyard.config.models import ClusterBackup
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock

STREAM = ClusterBackup.model_validate(
    {"wal": "stream", "replication": {"user": "postgres"}, "slot": "watched"}
)
Started = Callable[[FakeClock], tuple[SlotGuard, list[Condition]]]
NOWHERE = Target("/nowhere", 1, "none", "nobody")


def answer(*, exists: bool) -> Answer:
    retained = 0 if exists else None
    return Answer(1, "1:1:", SlotFacts(exists, exists, retained, 1024, 16 * 1024**2), None)


@pytest.fixture
def archive(tmp_path: Path) -> WalArchive:
    archive = WalArchive(tmp_path, "@main")
    archive.prepare()
    return archive


@pytest.fixture
def started(archive: WalArchive, state: State) -> Started:
    """A guard of a daemon that was just started, and what it says."""

    def start(clock: FakeClock) -> tuple[SlotGuard, list[Condition]]:
        told: list[Condition] = []
        guard = SlotGuard(
            "main",
            STREAM,
            archive,
            NOWHERE,
            state=state,
            metrics=Metrics(),
            clock=clock,
            tell=told.append,
        )
        return guard, told

    return start


def test_a_first_start_says_nothing_until_the_receiver_had_its_time(
    started: Started, clock: FakeClock
) -> None:
    guard, told = started(clock)
    guard.look(answer(exists=False))
    clock.advance(FIRST_S - 1)
    guard.look(answer(exists=False))
    assert told == []
    clock.advance(2)
    guard.look(answer(exists=False))
    assert told[-1].severity == "page"
    assert "was not made yet" in str(told[-1].summary)
    assert "systemctl enable --now shippyard-wal@main" in str(told[-1].summary)


def test_a_slot_that_has_gone_pages_at_once_also_after_a_restart(
    started: Started, clock: FakeClock
) -> None:
    guard, told = started(clock)
    guard.look(answer(exists=True))
    assert told[-1].summary is None
    guard.look(answer(exists=False))
    assert "is gone" in str(told[-1].summary)
    guard, told = started(clock)
    guard.look(answer(exists=False))
    assert told[-1].severity == "page"
    assert "is gone" in str(told[-1].summary)


def test_a_receiver_that_streamed_had_a_slot_though_our_memory_is_lost(
    archive: WalArchive, state: State, clock: FakeClock
) -> None:
    sighting = Sighting("watched", archive, state, clock)
    assert sighting.past(exists=False) == "expected"
    said = ReceiverStatus(1, "stopped", datetime.now(UTC), received_lsn="0/3000000")
    write_status(archive.folder, said)
    assert sighting.past(exists=False) == "seen"


def test_another_slot_by_config_was_never_there(
    archive: WalArchive, state: State, clock: FakeClock
) -> None:
    assert Sighting("before", archive, state, clock).past(exists=True) == "seen"
    renamed = Sighting("after", archive, state, clock)
    assert renamed.past(exists=False) == "expected"
    clock.advance(FIRST_S)
    assert renamed.past(exists=False) == "never"


def test_a_receiver_that_never_spoke_is_awaited_in_the_first_moments_only(
    archive: WalArchive, clock: FakeClock
) -> None:
    arrival = Arrival("main", archive, None, clock)
    assert arrival.is_awaited()
    clock.advance(FIRST_S)
    assert not arrival.is_awaited()
    trouble = arrival.take_in(lambda: False)
    assert trouble.pages
    assert "systemctl enable --now shippyard-wal@main" in str(trouble.line)


def test_a_receiver_that_has_spoken_is_not_awaited(archive: WalArchive, clock: FakeClock) -> None:
    write_status(archive.folder, ReceiverStatus(1, "stopped", clock.now()))
    assert not Arrival("main", archive, None, clock).is_awaited()
