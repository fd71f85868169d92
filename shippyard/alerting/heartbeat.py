"""Owns the sign of life: a dead man's switch far away is told, at intervals, that all goes on.

It is told only while polls and schedules really succeed. Whoever stops hearing of it wakes people;
a daemon can page for everything but its own death.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from shippyard.alerting.routes.posting import Address, Poster, poster_of, secret_address
from shippyard.config.alerting import Alerting
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.telemetry.metrics import Metrics

STOP_S = 1.0
RESOLVING_S = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Switch:
    """One dead man's switch: where it is told, and how often."""

    route: str
    every_s: float
    address: Address = field(repr=False)
    poster: Poster = field(repr=False)


def switches(config: Alerting) -> list[Switch]:
    """Those that config gives to routes.

    Raises:
        SecretMissing: a credential can't be read.
        UrlUnusable: a URL is none.
    """
    return [_switch(each) for each in config.routes if _has_one(each)]


def _has_one(route: RouteConfig) -> bool:
    return bool(route.heartbeat_url or route.heartbeat_url_credential)


def _switch(route: RouteConfig) -> Switch:
    url, credential = route.heartbeat_url or "", route.heartbeat_url_credential
    address = secret_address(route.name, url, credential)
    return Switch(route.name, route.heartbeat_every_s, address, poster_of(route, address))


class Heartbeat:
    """Tells one switch. `ails` gives what does not succeed now, one line each."""

    def __init__(
        self,
        switch: Switch,
        ails: Callable[[], Sequence[str]],
        *,
        clock: Clock,
        metrics: Metrics,
        pulse: Pulse,
    ) -> None:
        self._switch = switch
        self._ails = ails
        self._clock = clock
        self._metrics = metrics
        self._pulse = pulse
        self._loop = f"heartbeat:{switch.route}"
        self._stopping = threading.Event()
        self._said: str | None = None
        self._thread = threading.Thread(target=self._run, name=self._loop, daemon=True)

    def start(self) -> None:
        """Begin; a second start, or one after a stop, does nothing."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End soon; an attempt in flight is left behind."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._pulse.forget(self._loop)

    def _run(self) -> None:
        limit_s = self._switch.every_s + self._switch.poster.timeout_s + RESOLVING_S
        beat = self._pulse.register(self._loop, limit_s)
        while not self._stopping.wait(self._switch.every_s):
            beat()
            try:
                self._say(self._turn())
            except Exception:
                log.exception("heartbeat.turn_failed", route=self._switch.route)
        self._pulse.forget(self._loop)

    def _turn(self) -> str | None:
        """Why the switch was not told; None when it was."""
        ails = self._ails()
        if ails:
            return f"kept back: {ails[0]}"
        switch = self._switch
        answer = switch.poster.post(switch.address, b"", {}, self._clock.now())
        if answer.kind != "sent":
            return answer.detail
        self._metrics.heartbeat_sent.labels(switch.route).set(self._clock.now().timestamp())
        return None

    def _say(self, why: str | None) -> None:
        """Once for every change."""
        if why == self._said:
            return
        self._said = why
        if why is None:
            log.info("heartbeat.told", route=self._switch.route)
        else:
            log.warning("heartbeat.not_told", route=self._switch.route, why=why)
