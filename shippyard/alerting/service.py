"""Owns alerting as a whole: observations come in, incidents live, messages go to the outbox.

It only joins the parts: `incidents` decides, `audience` chooses, `hush` keeps quiet, `journal`
keeps, `outbox` sends. A poller may call it from any thread and is never hurt by it.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from shippyard.alerting.announcing import Announcer
from shippyard.alerting.delivery import Answer, Policy, Route
from shippyard.alerting.hush import Hush, described
from shippyard.alerting.incidents import (
    CLEARS_TO_END,
    OPEN,
    Event,
    Incident,
    Moment,
    Observation,
    acknowledged,
    decide,
    fingerprint,
)
from shippyard.alerting.journal import Journal
from shippyard.alerting.ledger import Ledger, LedgerUnavailable, Loaded
from shippyard.alerting.listing import Listing
from shippyard.alerting.mirror import Forgetful, Mirror
from shippyard.alerting.outbox import Outbox
from shippyard.alerting.own import DEAD_RULE, OWN_CLUSTER, all_clear, of_route, test_incident
from shippyard.alerting.rules import Ruled, apply_rules
from shippyard.alerting.takeover import merged
from shippyard.alerting.teller import Teller
from shippyard.config.alerting import Alerting as AlertingConfig
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

ANY = "*"
RESOLVED_SHOWN_S = 300.0
"""So long a receiver that knows only what it was told lately is told again that all is over."""
RESOLVED_KEPT_MAX = 500
LOAD_AGAIN_S = 10.0
"""What could not be read at the start is read again so often."""

log = structlog.get_logger(__name__)


class NoSuchIncident(Exception):
    """Nothing open is called that; says what to do."""


class NoSuchRoute(Exception):
    """Config names no such route; says which there are."""


class Alerting:
    """Tells people, once, and takes it back when it is over.

    `watched` are the pairs (cluster, database) that are looked at; `ANY` stands for all databases
    of a cluster. What an earlier daemon left open of others is ended at start, since no look will
    ever end it; None leaves it alone.
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
        self._teller = Teller(config, environment)
        self._metrics = metrics
        self._clock = clock
        self._pulse = pulse
        self._routes = tuple(routes)
        self._watched = None if watched is None else frozenset(watched)
        self._ledger = Ledger(state)
        self._journal = Journal(self._ledger, clock)
        self._hush = Hush(self._ledger, config)
        self._listing = Listing(self._ledger, self._journal)
        self._outbox = Outbox(
            self._journal,
            self._routes,
            policy=Policy(config.retry_max_s, config.attempts_max),
            clock=clock,
            metrics=metrics,
            pulse=pulse,
        )
        self._mirrors = [
            Mirror(route, self.snapshot, clock, pulse)
            for route in self._routes
            if isinstance(route, Forgetful)
        ]
        self._open: dict[str, Incident] = {}
        self._announcer = Announcer(self._routes, clock, pulse)
        self._expected: Callable[[Mapping[str, str]], str | None] = lambda _: None
        self._resolved: deque[Incident] = deque(maxlen=RESOLVED_KEPT_MAX)
        self._written_s: dict[str, float] = {}
        self._rules_shown: set[str] = set()
        self._is_loaded = False
        self._owes_since_s: float | None = None
        self._prune_at_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerting", daemon=True)
        self._beat: Callable[[], None] = lambda: None

    def expect(self, expected: Callable[[Mapping[str, str]], str | None]) -> None:
        """Be told what work under way is expected to cause: why nobody hears of it, or None."""
        self._expected = expected

    def attest(self, audit_head: Callable[[], str | None]) -> None:
        """From now on every message carries what `audit_head` says."""
        self._teller.audit_head = audit_head

    def announce(self, change: Mapping[str, Any]) -> None:
        """Something was done that nobody is woken for: `summary`, `database`, and what else."""
        self._announcer.announce(change)

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
        for mirror in self._mirrors:
            mirror.start()
        self._announcer.start()
        self._beat = self._pulse.register("alerting", TICK_LIMIT_S)
        self._thread.start()

    def stop(self) -> None:
        """End within about 3 s; what is not sent stays in the state database."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for mirror in self._mirrors:
            mirror.stop()
        self._announcer.stop()
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
            shown += self._listing.ended(self._now())
        return self._listing.shown(shown, self._now())

    def snapshot(self, route: str) -> list[Mapping[str, Any]]:
        """What a route was told of that still fires, or that ended lately, as its messages."""
        now = self._now()
        with self._journal.lock:
            firing = [i for i in self._open.values() if i.state == "firing" and route in i.told]
            over = [i for i in self._resolved if route in i.told and _is_fresh(i, now)]
        return [self._teller.message(i, "trigger", now) for i in firing] + [
            self._teller.message(i, "resolve", now) for i in over
        ]

    def acknowledge(self, id_: str, by: str, note: str) -> dict[str, Any]:
        """Somebody takes an incident on: it is not repeated, and those who were told hear of it.

        Raises:
            NoSuchIncident: nothing that fires is called that.
        """
        now = self._now()
        with self._journal.lock:
            self._load()
            incident = acknowledged(self._firing(id_), by, note, now)
            self._tell(incident, "acknowledge", moved=True)
        return self._listing.shown([incident], now)[0]

    def silence(
        self, match: Mapping[str, str], why: str, by: str, length: timedelta
    ) -> dict[str, Any]:
        """From now on, and for so long, nobody is told of what `match` fits.

        Raises:
            TooManySilences: there are too many.
            LedgerUnavailable: the state database can't be written; nothing is silenced.
        """
        with self._journal.lock:
            self._load()
            return described(self._hush.add(match, why, by, self._clock.now(), length))

    def unsilence(self, id_: str) -> dict[str, Any] | None:
        """End a silence; None when there is none of this id.

        Raises:
            LedgerUnavailable: that can't be written, and it is still in force.
        """
        with self._journal.lock:
            self._load()
            ended = self._hush.end(id_, self._clock.now())
            return described(ended) if ended else None

    @property
    def is_state_unwritable(self) -> bool:
        """Whether what happens can't be kept now."""
        return self._journal.is_degraded

    def silences(self) -> Sequence[dict[str, Any]]:
        """What is silenced now."""
        with self._journal.lock:
            self._load()
            return self._hush.listed(self._clock.now())

    def test(self, route: str, by: str) -> list[tuple[Event, Answer]]:
        """Send a page that is marked as a test, and its resolve; what the receiver answered.

        Raises:
            NoSuchRoute: config names none of this name.
        """
        found = next((each for each in self._routes if each.name == route), None)
        if found is None:
            named = ", ".join(each.name for each in self._routes) or "none"
            raise NoSuchRoute(f"no route {route!r} in the configuration; it has: {named}")
        now = self._now()
        page = test_incident(route, by, now)
        over = replace(page, state="resolved", resolved_at=now.at)
        events: tuple[tuple[Event, Incident], ...] = (("trigger", page), ("resolve", over))
        return [(e, found.send(self._teller.message(i, e, now), now.at)) for e, i in events]

    def _firing(self, id_: str) -> Incident:
        firing = [i for i in self._open.values() if i.state == "firing" and i.id.startswith(id_)]
        if len(firing) != 1:
            what = "several incidents fire" if firing else "no incident fires"
            raise NoSuchIncident(f"{what} whose id begins with {id_!r}; see: shippyard ctl alerts")
        return firing[0]

    def _observe(self, observation: Observation) -> None:
        with self._journal.lock:
            self._load()
            subjects = self._open_subjects(observation)
            for look in apply_rules(observation, self._config.rules, subjects):
                self._look(look)

    def _open_subjects(self, seen: Observation) -> list[str]:
        """What open incidents of the rule are about, in the database that was looked at."""
        of = (seen.rule, seen.cluster, seen.database)
        return [i.subject for i in self._open.values() if (i.rule, i.cluster, i.database) == of]

    def _look(self, look: Ruled) -> None:
        now = self._now()
        current = self._open.get(fingerprint(look.rule, look.cluster, look.database, look.subject))
        quiet = self._quiet(_facts(look, current), now)
        step = decide(current, look, now, repeat_s=self._config.repeat_s, silenced_by=quiet)
        if step.incident:
            self._tell(step.incident, step.notice, moved=step.moved)

    def _quiet(self, facts: Mapping[str, str], now: Moment) -> str | None:
        """Why nobody is told; where that can't be said, they are."""
        try:
            return self._hush.covers(facts, now.at) or self._expected(facts)
        except Exception:
            log.exception("alerting.silences_failed")
            return None

    def _tell(self, incident: Incident, notice: Event | None, *, moved: bool) -> None:
        """Keep what was decided: in memory, in the state database, in the queues."""
        incident, deliveries = self._teller.addressed(incident, notice, self._now())
        self._keep_open(incident)
        if moved or deliveries or self._is_refresh_due(incident):
            self._written_s[incident.fingerprint] = self._clock.monotonic()
            self._journal.record((incident,), deliveries)
            self._outbox.accept(deliveries)
        if moved:
            self._show_open()
            _say(incident, len(deliveries))

    def _keep_open(self, incident: Incident) -> None:
        if incident.state in OPEN:
            self._open[incident.fingerprint] = incident
            return
        newest = self._open.get(incident.fingerprint)
        if newest is not None and newest.id == incident.id:
            del self._open[incident.fingerprint]
            self._written_s.pop(incident.fingerprint, None)
        if incident.state == "resolved":
            self._resolved.append(incident)

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
        self._take_over()

    def _take_over(self) -> None:
        """Go on with what an earlier daemon left; what can't be read now is tried again."""
        self._owes_since_s = None
        try:
            loaded = self._ledger.load([route.name for route in self._routes], self._now())
            self._outbox.show_dead(self._ledger.dead_counts())
            self._hush.load(self._clock.now())
        except LedgerUnavailable as error:
            log.error("alerting.state_unreadable", error=str(error))
            self._owes_since_s = self._clock.monotonic()
            loaded = Loaded()
        kept, superseded = merged(self._open, loaded.incidents)
        for incident in superseded:
            self._end(incident)
        self._open.update({incident.fingerprint: incident for incident in kept})
        self._outbox.load(loaded)
        self._show_open()
        for incident in kept:
            if not self._is_watched(incident):
                self._end(incident)

    def _end(self, incident: Incident) -> None:
        """What nobody looks at any more would fire for ever."""
        now, repeat_s = self._now(), self._config.repeat_s
        last = replace(incident, clears=CLEARS_TO_END)
        over = decide(last, all_clear(incident), now, repeat_s=repeat_s)
        self._tell(over.incident or incident, over.notice, moved=over.moved)

    def _is_watched(self, incident: Incident) -> bool:
        if self._watched is None:
            return True
        if (incident.rule, incident.cluster) == (DEAD_RULE, OWN_CLUSTER):
            return any(route.name == incident.database for route in self._routes)
        cluster = incident.cluster
        return not self._watched.isdisjoint({(cluster, incident.database), (cluster, ANY)})

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
            owed_s = self._owes_since_s
            if owed_s is not None and self._clock.monotonic() - owed_s > LOAD_AGAIN_S:
                self._take_over()
        for route, end in self._outbox.last_ends().items():
            if end is not None:
                self.observe(of_route(route, end))
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
        self._metrics.silences.set(sum(bool(i.silenced_by) for i in self._open.values()))

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic())


def _facts(look: Ruled, current: Incident | None) -> dict[str, str]:
    """What a silence can go by."""
    return {
        "rule": look.rule,
        "cluster": look.cluster,
        "database": look.database,
        "subject": look.subject,
        "severity": current.severity if current else look.severity,
        "id": current.id if current else "",
    }


def _is_fresh(incident: Incident, now: Moment) -> bool:
    ended = incident.resolved_at or now.at
    return (now.at - ended).total_seconds() < RESOLVED_SHOWN_S


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
