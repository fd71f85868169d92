"""Owns getting messages out: one queue and one thread per route, in order, until sent or given up.

A message is claimed by compare-and-set before it is sent and settled after; a daemon that dies in
between sends it once more under the same key. A resolve never goes before its trigger, and not at
all to a route whose trigger never arrived. Knows no incidents, only their messages.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import structlog

from shippyard.alerting import delivery as parcels
from shippyard.alerting.delivery import Answer, Delivery, Policy, Route
from shippyard.alerting.incidents import Moment
from shippyard.alerting.journal import Journal
from shippyard.alerting.ledger import PAGES, Loaded
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.telemetry.metrics import Metrics

QUEUE_MAX = 2_000
"""Messages per route; with 32 KiB of evidence in each that is 64 MiB at the very worst."""

TURN_S = 2.0
STOP_S = 2.0
RESOLVING_S = 60.0
"""What looking up a name may take beyond a route's timeout: the C library has no deadline."""

End = Literal["sent", "dead"]

log = structlog.get_logger(__name__)

_random = random.SystemRandom()


class Outbox:
    """All routes' queues."""

    def __init__(
        self,
        journal: Journal,
        routes: Sequence[Route],
        *,
        policy: Policy,
        clock: Clock,
        metrics: Metrics,
        pulse: Pulse,
    ) -> None:
        self._clock = clock
        self._lanes = {
            route.name: Lane(
                route,
                journal,
                policy=policy,
                clock=clock,
                metrics=metrics,
                pulse=pulse,
            )
            for route in routes
        }

    def load(self, loaded: Loaded) -> None:
        """Take over what an earlier daemon left."""
        for name, lane in self._lanes.items():
            lane.load(
                [(row, d) for row, d in loaded.deliveries if d.route == name],
                {incident for route, incident in loaded.untold if route == name},
            )

    def accept(self, deliveries: Iterable[Delivery]) -> None:
        """Queue messages that the journal has; the routes wake at once."""
        for delivery in deliveries:
            self._lanes[delivery.route].accept(delivery)

    def show_dead(self, counts: Mapping[str, int]) -> None:
        """Say how many messages were given up, by route."""
        for name, lane in self._lanes.items():
            lane.show_dead(counts.get(name, 0))

    def last_ends(self) -> dict[str, End | None]:
        """How each route's last message ended in this process; None when none has."""
        return {name: lane.last_end for name, lane in self._lanes.items()}

    def start(self) -> None:
        """Begin to send."""
        for lane in self._lanes.values():
            lane.start()

    def stop(self) -> None:
        """End after the attempts in flight, or without them when they take too long."""
        for lane in self._lanes.values():
            lane.ask_to_stop()
        deadline_s = self._clock.monotonic() + STOP_S
        for lane in self._lanes.values():
            lane.join(max(0.0, deadline_s - self._clock.monotonic()))


class Lane:
    """One route's queue and the thread that empties it."""

    def __init__(
        self,
        route: Route,
        journal: Journal,
        *,
        policy: Policy,
        clock: Clock,
        metrics: Metrics,
        pulse: Pulse,
    ) -> None:
        self._route = route
        self._journal = journal
        self._policy = policy
        self._clock = clock
        self._metrics = metrics
        self._pulse = pulse
        self._queue: list[Delivery] = []
        self._untold: set[str] = set()
        self._changed = threading.Condition(journal.lock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._loop, daemon=True)
        self._beat: Callable[[], None] = lambda: None
        self.last_end: End | None = None

    @property
    def _loop(self) -> str:
        return f"route:{self._route.name}"

    def load(self, entries: Iterable[tuple[int, Delivery]], untold: set[str]) -> None:
        """Begin with what an earlier daemon left."""
        with self._changed:
            self._untold |= untold
            for row, delivery in entries:
                self._journal.adopt(delivery, row)
                self._queue.append(delivery)
            self._show_queued()

    def accept(self, delivery: Delivery) -> None:
        """Queue one message, at the end."""
        with self._changed:
            self._queue.append(delivery)
            if len(self._queue) > QUEUE_MAX:
                self._drop(parcels.select_dropped(self._queue))
            self._show_queued()
            self._changed.notify_all()

    def show_dead(self, count: int) -> None:
        """Say how many messages were given up."""
        self._metrics.outbox_dead.labels(self._route.name).set(count)

    def start(self) -> None:
        """Begin to send; a second start, or one after a stop, does nothing."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._beat = self._pulse.register(self._loop, self._route.timeout_s + RESOLVING_S)
            self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._pulse.forget(self._loop)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            try:
                self._turn()
            except Exception:
                log.exception("outbox.turn_failed", route=self._route.name)
                self._stopping.wait(TURN_S)
        self._pulse.forget(self._loop)

    def _turn(self) -> None:
        with self._changed:
            taken = self._take()
        if taken is None:
            return
        started_s = self._clock.monotonic()
        answer = self._attempt(taken)
        with self._changed:
            self._settle(taken, answer, self._clock.monotonic() - started_s)

    def _take(self) -> Delivery | None:
        """The head of the queue, claimed; None when there is nothing to send now."""
        if not self._queue:
            self._wait(TURN_S)
            return None
        head, now = self._queue[0], self._now()
        if head.event == "resolve" and head.incident in self._untold:
            self._end(parcels.given_up(head, "its trigger was never delivered"))
            return None
        if head.due_s > now.monotonic_s:
            self._wait(head.due_s - now.monotonic_s)
            return None
        return self._claim(head, now)

    def _wait(self, wait_s: float) -> None:
        # asked under the lock: a stop that comes later has to wake this wait
        if not self._stopping.is_set():
            self._changed.wait(min(wait_s, TURN_S))

    def _claim(self, head: Delivery, now: Moment) -> Delivery | None:
        wanted = parcels.claimed(head, now, self._route.timeout_s)
        found = self._journal.claim(head, wanted, now)
        if found is not None and found.state in parcels.OPEN:
            self._queue[0] = found
            return found if found is wanted else None
        self._queue.pop(0)  # another daemon on this state was quicker
        self._show_queued()
        return None

    def _attempt(self, delivery: Delivery) -> Answer:
        try:
            return self._route.send(delivery.message, self._clock.now())
        except Exception as error:  # noqa: BLE001  a route's defect must not stop the others' pages
            return Answer("unreachable", f"defect in the route: {type(error).__name__}")

    def _settle(self, taken: Delivery, answer: Answer, elapsed_s: float) -> None:
        self._metrics.deliveries.labels(self._route.name, answer.kind).inc()
        done = parcels.answered(taken, answer, self._now(), self._policy, _random.random())
        _say(done, answer, elapsed_s)
        if done.state in parcels.OPEN:
            self._queue[0] = done
            self._journal.record((), (done,))
        else:
            self._end(done)
            self.last_end = "sent" if done.state == "sent" else "dead"

    def _end(self, done: Delivery) -> None:
        """Take the head, which has ended, out of the queue."""
        self._queue.pop(0)
        self._remember_told(done)
        self._journal.record((), (done,))
        self._show_queued()
        if done.state == "dead":
            self._metrics.outbox_dead.labels(self._route.name).inc()

    def _remember_told(self, done: Delivery) -> None:
        if done.event == "trigger" and done.state == "dead":
            self._untold.add(done.incident)
        elif done.event == "resolve" or (done.state == "sent" and done.event in PAGES):
            self._untold.discard(done.incident)

    def _drop(self, dropped: Sequence[Delivery]) -> None:
        """Give up what a full queue can best do without."""
        keys = {d.key for d in dropped}
        self._queue[:] = [d for d in self._queue if d.key not in keys]
        self._journal.record(
            (), [parcels.given_up(d, "the route's queue was full") for d in dropped]
        )
        self._metrics.deliveries.labels(self._route.name, "dropped").inc(len(dropped))
        self._metrics.outbox_dead.labels(self._route.name).inc(len(dropped))
        log.warning("outbox.dropped", route=self._route.name, messages=len(dropped))

    def _show_queued(self) -> None:
        self._metrics.outbox_queued.labels(self._route.name).set(len(self._queue))

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic())


def _say(done: Delivery, answer: Answer, elapsed_s: float) -> None:
    say = log.info if done.state == "sent" else log.warning
    say(
        f"delivery.{done.state}",
        route=done.route,
        event_sent=done.event,
        incident=done.incident,
        attempts=done.attempts,
        answer=answer.detail,
        elapsed_s=round(elapsed_s, 3),
    )
