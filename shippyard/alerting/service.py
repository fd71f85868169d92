"""Owns alerting as a whole: observations come in, incidents live, messages go to the outbox.

It only joins the parts: `incidents` decides, `journal` keeps, `outbox` sends. A poller may call it
from any thread and is never hurt by it.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from shippyard.alerting.delivery import Delivery, Policy, Route
from shippyard.alerting.evidence import bounded_evidence
from shippyard.alerting.incidents import (
    CLEARS_TO_END,
    OPEN,
    Event,
    Incident,
    Moment,
    Observation,
    Step,
    decide,
    fingerprint,
)
from shippyard.alerting.journal import Journal
from shippyard.alerting.ledger import Ledger, LedgerUnavailable, Loaded
from shippyard.alerting.message import compose, describe
from shippyard.alerting.outbox import End, Outbox
from shippyard.alerting.rules import Ruled, apply_rules, choose_addressees
from shippyard.config.models import Alerting as AlertingConfig
from shippyard.host.clock import Clock
from shippyard.host.pulse import Pulse
from shippyard.state.database import State
from shippyard.telemetry.metrics import Metrics

TICK_S = 1.0
TICK_LIMIT_S = 60.0
REFRESH_S = 10.0
"""How often an open incident's newest evidence is written; memory always has it."""

PRUNE_EVERY_S = 3600.0
STOP_S = 1.0

SHOWN_ENDED_MAX = 100
SHOWN_DELIVERIES_MAX = 20
SHOWN_EVIDENCE_BYTES = 4 * 1024

DEAD_RULE = "delivery_dead"
OWN_CLUSTER = "shippyard"
"""What stands in an incident of the daemon itself where others name a cluster."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RouteDead:
    """The finding that a route's last message was given up."""

    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Alerting:
    """Tells people, once, and takes it back when it is over.

    `watched` are the pairs (cluster, database) that are looked at. What an earlier daemon left open
    of others is ended at start, since no look will ever end it; None leaves it alone.
    """

    def __init__(
        self,
        config: AlertingConfig,
        *,
        environment: str,
        state: State,
        metrics: Metrics,
        clock: Clock,
        pulse: Pulse,
        routes: Sequence[Route],
        watched: Collection[tuple[str, str]] | None = None,
    ) -> None:
        self._config = config
        self._environment = environment
        self._metrics = metrics
        self._clock = clock
        self._pulse = pulse
        self._routes = tuple(routes)
        self._watched = None if watched is None else frozenset(watched)
        self._ledger = Ledger(state)
        self._journal = Journal(self._ledger, clock)
        self._outbox = Outbox(
            self._journal,
            self._routes,
            policy=Policy(config.retry_max_s, config.attempts_max),
            clock=clock,
            metrics=metrics,
            pulse=pulse,
        )
        self._open: dict[str, Incident] = {}
        self._written_s: dict[str, float] = {}
        self._rules_shown: set[str] = set()
        self._is_loaded = False
        self._prune_at_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerting", daemon=True)
        self._beat: Callable[[], None] = lambda: None

    def observe(self, observation: Observation) -> None:
        """Take one successful look at a rule. Never raises, whatever is broken here."""
        try:
            self._observe(observation)
        except Exception:
            log.exception("alerting.observe_failed", rule=observation.rule)

    def start(self) -> None:
        """Take over what an earlier daemon left, and begin to send."""
        if self._thread.ident is not None or self._stopping.is_set():
            return
        with self._journal.lock:
            self._load()
        self._outbox.start()
        self._beat = self._pulse.register("alerting", TICK_LIMIT_S)
        self._thread.start()

    def stop(self) -> None:
        """End within about 3 s; what is not sent stays in the state database."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._outbox.stop()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._pulse.forget("alerting")
        with self._journal.lock:
            self._journal.record(self._open.values(), ())

    def incidents(self, *, with_ended: bool = False) -> list[dict[str, Any]]:
        """Open incidents, oldest first; then those that ended, newest first, when asked for."""
        with self._journal.lock:
            shown = sorted(self._open.values(), key=lambda incident: incident.pending_at)
        if with_ended:
            shown += self._ended()
        return [self._shown(incident) for incident in shown]

    def _observe(self, observation: Observation) -> None:
        ruled = apply_rules(observation, self._config.rules)
        print_ = fingerprint(ruled.rule, ruled.cluster, ruled.database)
        with self._journal.lock:
            self._load()
            step = decide(
                self._open.get(print_), ruled, self._now(), repeat_s=self._config.repeat_s
            )
            if step.incident:
                self._follow(step, step.incident)

    def _follow(self, step: Step, incident: Incident) -> None:
        """Keep what was decided: in memory, in the state database, in the queues."""
        incident, deliveries = self._addressed(incident, step.notice)
        self._keep_open(incident)
        if step.moved or deliveries or self._is_refresh_due(incident):
            self._written_s[incident.fingerprint] = self._clock.monotonic()
            self._journal.record((incident,), deliveries)
            self._outbox.accept(deliveries)
        if step.moved:
            self._show_open()
            _say(incident, len(deliveries))

    def _addressed(
        self, incident: Incident, notice: Event | None
    ) -> tuple[Incident, list[Delivery]]:
        """The incident with the routes it was told to, and what they are told."""
        if notice is None:
            return incident, []
        chosen = choose_addressees(incident, notice, self._routes)
        told = tuple(dict.fromkeys((*incident.told, *(route for route, _ in chosen))))
        return replace(incident, told=told), [
            self._delivery(incident, route, event) for route, event in chosen
        ]

    def _delivery(self, incident: Incident, route: str, event: Event) -> Delivery:
        now = self._now()
        return Delivery(
            fingerprint=incident.fingerprint,
            pending_at=incident.pending_at,
            route=route,
            event=event,
            message=compose(incident, event, self._environment, now.at),
            created_at=now.at,
            due_at=now.at,
            due_s=now.monotonic_s,
        )

    def _keep_open(self, incident: Incident) -> None:
        if incident.state in OPEN:
            self._open[incident.fingerprint] = incident
        else:
            self._open.pop(incident.fingerprint, None)
            self._written_s.pop(incident.fingerprint, None)

    def _is_refresh_due(self, incident: Incident) -> bool:
        written_s = self._written_s.get(incident.fingerprint, 0.0)
        return self._clock.monotonic() - written_s >= REFRESH_S

    def _load(self) -> None:
        """Once: before the first observation, so that what fires already is not paged again."""
        if self._is_loaded:
            return
        self._is_loaded = True
        for route in self._routes:
            self._metrics.outbox_queued.labels(route.name).set(0)
        try:
            loaded = self._ledger.load([route.name for route in self._routes], self._now())
            self._outbox.show_dead(self._ledger.dead_counts())
        except LedgerUnavailable as error:
            log.error("alerting.state_unreadable", error=str(error))
            loaded = Loaded()
        self._open = {incident.fingerprint: incident for incident in loaded.incidents}
        self._outbox.load(loaded)
        self._show_open()
        self._end_unwatched()

    def _end_unwatched(self) -> None:
        """What nobody looks at any more would fire for ever."""
        for incident in list(self._open.values()):
            if not self._is_watched(incident):
                over = decide(
                    replace(incident, clears=CLEARS_TO_END),
                    _all_clear(incident),
                    self._now(),
                    repeat_s=self._config.repeat_s,
                )
                self._follow(over, over.incident or incident)

    def _is_watched(self, incident: Incident) -> bool:
        if self._watched is None:
            return True
        if (incident.rule, incident.cluster) == (DEAD_RULE, OWN_CLUSTER):
            return any(route.name == incident.database for route in self._routes)
        return (incident.cluster, incident.database) in self._watched

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            self._beat()
            try:
                self._tick()
            except Exception:
                log.exception("alerting.tick_failed")

    def _tick(self) -> None:
        with self._journal.lock:
            self._journal.flush()
        for route, end in self._outbox.last_ends().items():
            if end is not None:
                self.observe(_own_observation(route, end))
        if self._clock.monotonic() >= self._prune_at_s:
            self._prune()

    def _prune(self) -> None:
        self._prune_at_s = self._clock.monotonic() + PRUNE_EVERY_S
        try:
            self._ledger.prune(self._clock.now())
            self._outbox.show_dead(self._ledger.dead_counts())
        except LedgerUnavailable as error:
            log.warning("alerting.prune_failed", error=str(error))

    def _show_open(self) -> None:
        """Open incidents by rule and state; one that ended is 0, not gone."""
        counts = Counter((i.rule, i.state) for i in self._open.values())
        for rule in {i.rule for i in self._open.values()} | self._rules_shown:
            for state in OPEN:
                self._metrics.incidents_open.labels(rule, state).set(counts[rule, state])
            self._rules_shown.add(rule)

    def _ended(self) -> list[Incident]:
        try:
            return self._ledger.ended(SHOWN_ENDED_MAX, self._now())
        except LedgerUnavailable as error:
            log.warning("alerting.history_unreadable", error=str(error))
            return []

    def _shown(self, incident: Incident) -> dict[str, Any]:
        shown = describe(incident)
        shown["evidence"] = bounded_evidence(incident.evidence, SHOWN_EVIDENCE_BYTES)
        shown["deliveries"] = [
            {
                "route": delivery.route,
                "event": delivery.event,
                "state": delivery.state,
                "attempts": delivery.attempts,
                "error": delivery.error,
            }
            for delivery in self._deliveries_of(incident)
        ]
        return shown

    def _deliveries_of(self, incident: Incident) -> list[Delivery]:
        """As written, with what only memory knows in its place."""
        try:
            written = self._ledger.deliveries_of(incident, SHOWN_DELIVERIES_MAX, self._now())
        except LedgerUnavailable:
            written = []
        with self._journal.lock:
            newer = self._journal.unwritten(incident.id)
        return list({delivery.key: delivery for delivery in (*written, *newer)}.values())

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic())


def _own_observation(route: str, end: End) -> Ruled:
    """What the last message's end says about a route."""
    finding = RouteDead(
        f"route {route} took no message: the last one was given up; "
        "see `shippyard ctl alerts --all` for why"
    )
    return Ruled(
        rule=DEAD_RULE,
        cluster=OWN_CLUSTER,
        database=route,
        severity="page",
        for_s=0.0,
        finding=finding if end == "dead" else None,
    )


def _all_clear(incident: Incident) -> Ruled:
    """The look that nobody takes any more."""
    return Ruled(
        rule=incident.rule,
        cluster=incident.cluster,
        database=incident.database,
        severity=incident.severity,
        for_s=0.0,
        finding=None,
    )


def _say(incident: Incident, messages: int) -> None:
    """One line for what people are told of; a blink is only for those who debug."""
    say = log.info if incident.state in ("firing", "resolved") else log.debug
    say(
        f"incident.{incident.state}",
        incident=incident.id,
        rule=incident.rule,
        cluster=incident.cluster,
        database=incident.database,
        severity=incident.severity,
        summary=incident.summary,
        messages=messages,
    )
