"""Owns `shippyard wal receive` as a process: from config to a receiver, signals and systemd.

It shares no state with the daemon but the archive's folder.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from shippyard.backup.model import subject_of_cluster
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.receive import Receiver, Settings
from shippyard.config.models import Config, Database, Login
from shippyard.host import notify
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.target import target_of
from shippyard.postgres.tools import ToolsMissing, installed_tools
from shippyard.telemetry.logging import configure_logging

PROGRAM = "pg_receivewal"
FEED_S = 1.0


class NotStreamed(Exception):
    """Config does not say that this cluster's WAL is streamed; one line says what to write."""


def receive_until_stopped(config: Config, cluster: str, *, create_slot: bool) -> None:
    """Receive a cluster's WAL until SIGTERM or SIGINT.

    Raises:
        NotStreamed: config says otherwise.
        SecretMissing: the password's credential can't be read.
        Busy: another process receives it.
        OSError: the archive's folder can't be used.
    """
    database, login = _source(config, cluster)
    settings = config.backup.clusters[cluster]
    configure_logging(config.log.level, config.log.format)
    processes, clock = Processes(), SystemClock()
    feed = _Feed(clock)
    receiver = Receiver(
        Settings(cluster, settings.slot, create_slot, settings.synchronous),
        target_of(database, login),
        WalArchive(config.backup.dir, subject_of_cluster(cluster)),
        program_for=lambda major: program_for(processes, major, config),
        processes=processes,
        clock=clock,
        on_turn=feed.turn,
    )
    with _ended_by_signals(receiver):
        try:
            receiver.run(os.getpid())
        finally:
            notify.stopping("stopping")
            processes.end_all()


def program_for(processes: Processes, major: int, config: Config) -> str:
    """pg_receivewal of the server's own major, else of the next newer one.

    Raises:
        ToolsMissing: there is none here.
    """
    found = installed_tools(processes, config.tools_dirs, program=PROGRAM)
    fit = [tools for tools in found if tools.major >= major]
    if not fit:
        raise ToolsMissing(
            f"no {PROGRAM} for a PostgreSQL {major} server; install postgresql-client-{major}"
        )
    return min(fit, key=lambda tools: tools.major).path(PROGRAM)


class _Feed:
    """Says ready at the first turn, whether or not PostgreSQL answers; then feeds the watchdog."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._fed_at: float | None = None

    def turn(self, status: str) -> None:
        now = self._clock.monotonic()
        if self._fed_at is None:
            notify.ready(status)
        elif now - self._fed_at < FEED_S:
            return
        notify.feed_watchdog(status)
        self._fed_at = now


def _source(config: Config, cluster: str) -> tuple[Database, Login]:
    settings = config.backup.clusters.get(cluster)
    if settings is None or settings.wal != "stream" or settings.replication is None:
        raise NotStreamed(
            f"the WAL of {cluster!r} is not streamed; write in the configuration: "
            f'[backup.clusters.{cluster}] wal = "stream", replication = {{ user = "..." }}'
        )
    return next(d for d in config.databases if d.cluster == cluster), settings.replication


@contextlib.contextmanager
def _ended_by_signals(receiver: Receiver) -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        receiver.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
