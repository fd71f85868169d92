"""PostgreSQL goes away and comes back: nothing stale is shown, and everything resumes by itself."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shippyard.health.model import Observation
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually
from tests.integration.health.conftest import Watch, WatchThe, connect, watcher_of


@pytest.fixture(scope="module")
def own_cluster(processes: Processes) -> Iterator[EmbeddedCluster]:
    with embedded_cluster(server_tools(processes), processes) as running:
        try:
            yield running
        finally:
            running.signal_all(signal.SIGCONT)


def has_everything(watch: Watch) -> bool:
    names = {line.split("{")[0] for line in watch.series()}
    wanted = {"shippyard_health_blocked_sessions", "shippyard_health_server_version_number"}
    return wanted <= names and watch.up() == 1


def answered(watch: Watch) -> list[Observation]:
    """Looks that the server itself answered."""
    return [seen for seen in watch.observed if seen.rule != "unreachable"]


def test_a_stopped_server_takes_its_series_with_it_and_resumes(
    own_cluster: EmbeddedCluster, watched: WatchThe, eventually: Eventually
) -> None:
    with watched(watcher_of(own_cluster.target())) as watch:
        eventually(lambda: has_everything(watch))
        eventually(lambda: watch.live.facts("shop"))
        own_cluster.signal_all(signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            eventually(lambda: not watch.series() and watch.up() == 0, 7)
            assert time.monotonic() - stopped < 6
            asked = time.monotonic()
            watch.exposition.render()
            assert time.monotonic() - asked < 0.2
            status = watch.poller.status()
            assert not status.up
            assert status.error
            assert watch.live.facts("shop") is None
            beats, answers = watch.beats, len(answered(watch))
            # Tries to connect hang for two seconds each, and the loop still turns.
            eventually(lambda: watch.beats >= beats + 3, 10)
            assert len(answered(watch)) == answers
            unreachable = watch.finding("unreachable")
            assert unreachable is not None
            assert "does not answer" in unreachable.summary
        finally:
            own_cluster.signal_all(signal.SIGCONT)
        eventually(lambda: has_everything(watch), 10)
        eventually(lambda: watch.finding("unreachable") is None)
        eventually(lambda: watch.live.facts("shop"))


SLOW = """
summary = "Takes its time"
every_s = 60
timeout_s = 9
[metric]
name = "slow_value"
"""


def test_stopping_cuts_off_a_query_in_flight(
    own_cluster: EmbeddedCluster, watched: WatchThe, eventually: Eventually, tmp_path: Path
) -> None:
    (tmp_path / "slow.toml").write_text(SLOW)
    (tmp_path / "slow.sql").write_text("SELECT 1 AS value FROM pg_sleep(8)")
    target = own_cluster.target()
    running = b"SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with (
        watched(watcher_of(target), checks_dir=tmp_path) as watch,
        connect(target) as admin,
    ):
        eventually(lambda: admin.execute(running).fetchone())
        began = time.monotonic()
        watch.poller.begin_stop()
        assert time.monotonic() - began < 0.2
        watch.poller.stop()
        assert time.monotonic() - began < 2
        assert watch.series() == []
        assert watch.up() is None


def test_a_terminated_connection_is_made_again(
    own_cluster: EmbeddedCluster, watched: WatchThe, eventually: Eventually
) -> None:
    target = own_cluster.target()
    with watched(watcher_of(target)) as watch, connect(target) as admin:
        eventually(lambda: has_everything(watch))
        ours = "FROM pg_stat_activity WHERE application_name = 'shippyard:health'"
        before = admin.execute(f"SELECT pid {ours}".encode()).fetchone()
        admin.execute(f"SELECT pg_terminate_backend(pid) {ours}".encode())

        def another() -> bool:
            now = admin.execute(f"SELECT pid {ours}".encode()).fetchone()
            return now is not None and now != before

        eventually(another)
        eventually(lambda: has_everything(watch))


def test_a_restart_of_the_server_is_survived(
    own_cluster: EmbeddedCluster, watched: WatchThe, eventually: Eventually
) -> None:
    with watched(watcher_of(own_cluster.target())) as watch:
        eventually(lambda: has_everything(watch))
        own_cluster.stop()
        eventually(lambda: not watch.series() and watch.up() == 0)
        own_cluster.start()
        eventually(lambda: has_everything(watch))


def test_a_server_that_is_not_there_is_told(
    own_cluster: EmbeddedCluster, watched: WatchThe, eventually: Eventually
) -> None:
    nowhere = replace(own_cluster.target(), host=f"{os.sep}nowhere")
    with watched(nowhere) as watch:
        error = eventually(lambda: (e := watch.poller.status().error) and "nowhere" in e and e)
        assert "\n" not in str(error)
        assert watch.up() == 0
