"""Owns an incident's life, as a table: pending → firing → resolved, or pending → dropped.

Pure: it is handed what was seen and when, and says what follows. It knows no storage, no routes
and no clock. Only a successful look moves an incident; where a poll failed nothing was seen, so
nothing changes. Durations are measured on the monotonic clock, so that a clock step neither fires
nor silences anything; what people read is wall-clock time.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from shippyard.alerting.evidence import bounded_evidence, bounded_summary

State = Literal["pending", "firing", "resolved", "dropped"]
Sign = Literal["present", "due", "clear", "over"]
Event = Literal["trigger", "repeat", "acknowledge", "resolve"]

OPEN: frozenset[State] = frozenset({"pending", "firing"})
SEVERITIES = ("info", "ticket", "page")
"""From the least on."""

CLEARS_TO_END = 2
"""So many clear looks in a row end an incident; fewer are flapping."""

LOOK_EARLY_S = 0.1
"""A look that comes so much before its second counts for it; the next one is a whole second off."""

TRANSITIONS: Mapping[tuple[State | None, Sign], State | None] = {
    (None, "present"): "pending",
    (None, "due"): "firing",  # `for_s` is 0: pending and firing at once
    (None, "clear"): None,
    ("pending", "present"): "pending",
    ("pending", "due"): "firing",
    ("pending", "clear"): "pending",
    ("pending", "over"): "dropped",
    ("firing", "present"): "firing",  # `for_s` was raised meanwhile: what fires goes on firing
    ("firing", "due"): "firing",
    ("firing", "clear"): "firing",
    ("firing", "over"): "resolved",
}
"""What a sign does to a state; None is no incident. What is not here can't happen."""


class IllegalStep(Exception):
    """A sign came for an incident that had ended; a promise of the caller is broken."""


class Finding(Protocol):
    """One thing that is wrong now."""

    @property
    def summary(self) -> str:
        """What a tired person needs to know, in a line."""
        ...

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What shows it, as JSON."""
        ...


class Observation(Protocol):
    """One successful look at one rule; without a finding all is clear."""

    @property
    def rule(self) -> str:
        """Which alert rule was looked at."""
        ...

    @property
    def cluster(self) -> str:
        """In which cluster."""
        ...

    @property
    def database(self) -> str:
        """In which database."""
        ...

    @property
    def severity(self) -> str:
        """page, ticket or info."""
        ...

    @property
    def for_s(self) -> float:
        """How long it must be there before anybody is told, in seconds."""
        ...

    @property
    def finding(self) -> Finding | None:
        """What is wrong, or None."""
        ...

    @property
    def parts(self) -> Mapping[str, Finding]:
        """What is wrong by what it is about, where that outlives a session; empty elsewhere."""
        ...


class Look(Protocol):
    """One successful look at one thing that may be wrong, after config was heard."""

    @property
    def rule(self) -> str:
        """Which alert rule was looked at."""
        ...

    @property
    def cluster(self) -> str:
        """In which cluster."""
        ...

    @property
    def database(self) -> str:
        """In which database."""
        ...

    @property
    def subject(self) -> str:
        """What of the database it is about; empty for the whole of it."""
        ...

    @property
    def severity(self) -> str:
        """page, ticket or info."""
        ...

    @property
    def for_s(self) -> float:
        """How long it must be there before anybody is told, in seconds."""
        ...

    @property
    def finding(self) -> Finding | None:
        """What is wrong, or None."""
        ...


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks."""

    at: datetime
    monotonic_s: float


@dataclass(frozen=True)
class Incident:
    """A finding's life. `told` names the routes that got, or will get, its trigger.

    `since_s` and `notified_s` are monotonic twins of `pending_at` and `notified_at`; the first
    counts only time in which somebody looked. `silenced_by` is why nobody is told now.
    """

    fingerprint: str
    rule: str
    cluster: str
    database: str
    severity: str
    state: State
    summary: str
    evidence: Mapping[str, Any]
    pending_at: datetime
    since_s: float
    seen_at: datetime
    firing_at: datetime | None = None
    resolved_at: datetime | None = None
    notified_at: datetime | None = None
    notified_s: float | None = None
    clears: int = 0
    told: tuple[str, ...] = ()
    subject: str = ""
    acked_at: datetime | None = None
    acked_by: str | None = None
    ack_note: str | None = None
    silenced_by: str | None = None

    @property
    def id(self) -> str:
        """This one incident among all that had the same fingerprint."""
        return incident_id(self.fingerprint, self.pending_at)


@dataclass(frozen=True)
class Step:
    """What an observation led to. `moved`: the state is another one and must be recorded."""

    incident: Incident | None
    notice: Event | None = None
    moved: bool = False


def fingerprint(rule: str, cluster: str, database: str, subject: str = "") -> str:
    """What makes two findings the same incident: 16 hex digits, stable for ever."""
    parts = (rule, cluster, database, subject) if subject else (rule, cluster, database)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def incident_id(print_: str, pending_at: datetime) -> str:
    """The fingerprint and the millisecond in which the incident began."""
    return f"{print_}-{int(pending_at.timestamp() * 1000):x}"


def decide(
    current: Incident | None,
    look: Look,
    now: Moment,
    *,
    repeat_s: float,
    silenced_by: str | None = None,
) -> Step:
    """What `look` does to the open incident of its identity, or to none.

    While it is silenced everything goes on as ever, but nobody is told; of what fires still when
    the silence is over they are told then, also those who were told before it.

    Raises:
        IllegalStep: `current` has ended already.
    """
    before = current.state if current else None
    sign = _sign_of(current, look, now)
    if (before, sign) not in TRANSITIONS:
        raise IllegalStep(f"{sign!r} for an incident that is {before}")
    after = TRANSITIONS[before, sign]
    if after is None:
        return Step(None)
    incident = _brought_to(after, current or _begun(look, now), look.finding, now)
    incident = replace(_weighed(incident, look.severity), silenced_by=silenced_by)
    is_news = current is not None and (
        incident.severity != current.severity or bool(current.silenced_by and not silenced_by)
    )
    notice = _notice(incident, now, repeat_s, is_news=is_news)
    if notice:
        incident = replace(incident, notified_at=now.at, notified_s=now.monotonic_s)
    return Step(incident, notice, moved=before != after)


def acknowledged(incident: Incident, by: str, note: str, now: Moment) -> Incident:
    """The incident taken on by somebody: it is not repeated any more, until it gets worse."""
    return replace(incident, acked_at=now.at, acked_by=by, ack_note=note)


def _sign_of(current: Incident | None, look: Look, now: Moment) -> Sign:
    if look.finding is None:
        return "over" if current and current.clears + 1 >= CLEARS_TO_END else "clear"
    # Time in which nobody looked counts when the finding is there on both sides of it: with a
    # cadence slower than `for_s` the rule would never fire otherwise.
    held_s = now.monotonic_s - current.since_s if current else 0.0
    return "due" if held_s >= look.for_s - LOOK_EARLY_S else "present"


def _begun(look: Look, now: Moment) -> Incident:
    return Incident(
        fingerprint=fingerprint(look.rule, look.cluster, look.database, look.subject),
        rule=look.rule,
        cluster=look.cluster,
        database=look.database,
        subject=look.subject,
        severity=look.severity,
        state="pending",
        summary="",
        evidence={},
        pending_at=now.at,
        since_s=now.monotonic_s,
        seen_at=now.at,
    )


def _weighed(incident: Incident, severity: str) -> Incident:
    """With the worst severity that it was ever seen with; who took it on took on less then."""
    if SEVERITIES.index(severity) <= SEVERITIES.index(incident.severity):
        return incident
    return replace(incident, severity=severity, acked_at=None, acked_by=None, ack_note=None)


def _brought_to(state: State, incident: Incident, finding: Finding | None, now: Moment) -> Incident:
    seen = _seen(incident, finding, now) if finding else _unseen(incident)
    if state == incident.state:
        return seen
    if state == "firing":
        return replace(seen, state=state, firing_at=now.at)
    return replace(seen, state=state, resolved_at=now.at)


def _seen(incident: Incident, finding: Finding, now: Moment) -> Incident:
    return replace(
        incident,
        summary=bounded_summary(finding.summary),
        evidence=bounded_evidence(finding.evidence),
        seen_at=now.at,
        clears=0,
    )


def _unseen(incident: Incident) -> Incident:
    return replace(incident, clears=incident.clears + 1)


def _notice(incident: Incident, now: Moment, repeat_s: float, *, is_news: bool) -> Event | None:
    if incident.state == "resolved":
        return "resolve"
    if incident.state != "firing" or incident.silenced_by or incident.acked_at:
        return None
    if incident.notified_s is None:
        return "trigger"
    if is_news:
        return "repeat"
    if incident.clears:
        return None
    return "repeat" if now.monotonic_s - incident.notified_s >= repeat_s else None
