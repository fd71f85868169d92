"""Owns the life of the daemon: start in order, prove that it lives, reload, stop in reverse order.

What the parts are is `wiring`'s business; this file only turns them on and off.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shippyard.config.loading import ConfigError, load_config
from shippyard.config.models import Config
from shippyard.control.endpoint import AlreadyRunning, SocketUnusable
from shippyard.host import notify
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.pulse import Pulse
from shippyard.host.secrets import SecretMissing
from shippyard.state.database import StateUnusable, open_state
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.logging import configure_logging
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.sentry import configure_sentry
from shippyard.wiring import Base, NotBuildable, Service, System, build

TURN_S = 0.5
KILL_GRACE_S = 2.0
ABANDONED = 1
"""Exit status when stopping took too long."""

REFUSALS = (
    ConfigError,
    SecretMissing,
    NotBuildable,
    AlreadyRunning,
    SocketUnusable,
    SQLAlchemyError,  # the state can't be written: its disk may be full
)
"""Why a configuration can't be lived under; each is one line."""


class NothingLeft(Exception):
    """A reload failed and the configuration of before can't be lived under any more either."""


FATAL = (
    SecretMissing,
    StateUnusable,
    NotBuildable,
    AlreadyRunning,
    SocketUnusable,
    NothingLeft,
)
"""Why a daemon can't start, or can't go on, though its configuration is well-formed."""

log = structlog.get_logger(__name__)


SWITCH_S = 0.0005
"""How long a busy thread keeps the others waiting, when they ask. Python's own 5 ms come again at
every read and write of an answer: a scrape beside a large check took 20 times as long."""


def run(config_path: Path) -> None:
    """Be the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration can't be used.
        FATAL: it can't start, or not go on; one line each.
    """
    sys.setswitchinterval(SWITCH_S)
    config = load_config(config_path)
    configure_logging(config.log.level, config.log.format)
    configure_sentry(config.sentry, config.environment)
    clock = SystemClock()
    metrics = Metrics()
    with open_state(config.daemon.state_dir) as state:
        base = Base(
            config_path=config_path,
            state=state,
            metrics=metrics,
            exposition=Exposition(metrics),
            processes=Processes(),
            pulse=Pulse(clock),
            clock=clock,
            started_at=clock.now(),
        )
        _Life(config, base).live()


class _Life:
    """One process's life, from the first service started to the last one stopped."""

    def __init__(self, config: Config, base: Base) -> None:
        self._config = config
        self._base = base
        self._system = build(config, base)
        self._wake = threading.Event()
        self._stop = False
        self._reload = False

    def live(self) -> None:
        with self._signals():
            try:
                self._system.recover()
                self._system.take_over(self._base.switchboard)
                start_all(self._system.services)
                self._mark_loaded(self._base.clock.now())
                notify.ready(self._status())
                self._log_ready()
                self._turn_until_stopped()
            finally:
                notify.stopping("stopping")
                with _at_most(self._config.daemon.stop_timeout_s):
                    self._end()
        log.info("daemon.stopped")

    def _end(self) -> None:
        self._system.begin_stop()
        self._system.quiesce()
        # Programs end before services: a service waits for its work, work for its program.
        self._base.processes.end_all(KILL_GRACE_S)
        stop_all(self._system.services)

    def _turn_until_stopped(self) -> None:
        while not self._stop:
            if self._reload:
                self._reload = False
                self._reload_config()
            self._prove_alive()
            self._wake.wait(TURN_S)
            self._wake.clear()

    def _prove_alive(self) -> None:
        stuck = self._base.pulse.stuck()
        self._base.metrics.loops_stuck.set(len(stuck))
        if not stuck:
            notify.feed_watchdog(self._status())
        elif int(self._base.clock.monotonic()) % 10 == 0:
            log.error("daemon.stuck", loops=stuck)

    def _reload_config(self) -> None:
        """Live under the configuration as it is now on disk, or say why not and keep the old."""
        notify.reloading()
        try:
            config = load_config(self._base.config_path)
            _refuse_what_needs_restart(self._config, config)
            self._swap(config)
        except NothingLeft:
            raise
        except REFUSALS as error:
            self._refused(str(error))
        except Exception:
            log.exception("config.reload_failed")
            self._refused("a defect of Shippyard; the log has it")
        else:
            configure_logging(config.log.level, config.log.format)
            self._config = config
            self._mark_loaded(self._base.clock.now())
            log.info("config.reloaded")
        notify.ready(self._status())

    def _refused(self, reason: str) -> None:
        self._base.metrics.config_reload_success.set(0)
        log.error("config.reload_refused", reason=reason, kept="the old configuration")

    def _swap(self, config: Config) -> None:
        """Build the new system, stop the old one, start the new one, or go back."""
        old, new = self._system, build(config, self._base)
        busy = old.make_way()
        if busy:
            raise ConfigError(f"{busy}; reload again when it is over")
        old.control.retire()
        old.begin_stop()
        stop_all(old.services)
        try:
            self._move_into(new)
        except Exception:
            stop_all(new.services)
            self._leave_behind(new, for_=old)
            self._go_back()
            raise
        self._leave_behind(old, for_=new)

    def _move_into(self, system: System) -> None:
        system.take_over(self._base.switchboard)
        start_all(system.services)
        self._system = system

    def _go_back(self) -> None:
        try:
            self._move_into(build(self._config, self._base))
        except REFUSALS as error:
            raise NothingLeft(f"the old configuration does not start again: {error}") from error

    def _leave_behind(self, left: System, *, for_: System) -> None:
        """Expect and show nothing of databases that only the system that is left knew."""
        for loop in left.loops - for_.loops:
            self._base.pulse.forget(loop)
        left.keeping.forget_metrics(left.subjects - for_.subjects)

    def _status(self) -> str:
        return f"guarding {len(self._config.databases)} databases"

    def _log_ready(self) -> None:
        url = self._system.rooms.metrics_url()
        log.info("daemon.ready", http=url, socket=str(self._system.socket))

    def _mark_loaded(self, now: datetime) -> None:
        self._base.metrics.config_reload_success.set(1)
        self._base.metrics.config_reload_time.set(now.timestamp())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(number: int, _: FrameType | None) -> None:
            if number == signal.SIGHUP:
                self._reload = True
            else:
                self._stop = True
            self._wake.set()

        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _at_most(limit_s: float) -> Iterator[None]:
    """Leave the process, come what may, when the block takes longer: state survives that."""
    timer = threading.Timer(limit_s, _leave, [limit_s])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _leave(limit_s: float) -> None:
    log.error("daemon.stop_timed_out", limit_s=limit_s)
    os._exit(ABANDONED)


def start_all(services: Sequence[Service]) -> None:
    """Start in order."""
    for service in services:
        service.start()


def stop_all(services: Sequence[Service]) -> None:
    """Stop in reverse order; one that fails to stop does not keep the others running."""
    for service in reversed(services):
        try:
            service.stop()
        except Exception:
            log.exception("service.stop_failed", service=type(service).__name__)


def _refuse_what_needs_restart(old: Config, new: Config) -> None:
    if old.daemon.state_dir != new.daemon.state_dir:
        raise ConfigError("daemon.state_dir changed; restart the daemon to move its state")
    if old.sentry != new.sentry:
        raise ConfigError("[sentry] changed; restart the daemon to report elsewhere")
    if old.environment != new.environment:
        raise ConfigError("environment changed; restart the daemon to change it")
