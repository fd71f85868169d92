"""Owns a delivery's life, as a table: queued → sent | retrying → dead. Pure.

A claim counts the attempt before it is made and gives it a lease, so that a daemon killed while
sending is followed by one that waits for the lease and sends once more, under the same key.

What an answer means:

    sent         2xx
    busy         408, 425, 429, 5xx: try again, not before `Retry-After`
    unreachable  no answer: name, network, TLS, time: try again
    refused      3xx and the other 4xx (401, 404…): try again as well, because a wrong URL or token
                 is mended by a person, and the page must then still be there
    rejected     400, 413, 415, 422: this message will never do; given up on after a few attempts,
                 so that it does not hold up those behind it
"""

import email.utils
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from shippyard.alerting.incidents import Event, Moment, incident_id

State = Literal["queued", "retrying", "sent", "dead"]
Happening = Literal["claimed", "accepted", "failed", "given_up"]
AnswerKind = Literal["sent", "busy", "unreachable", "refused", "rejected"]

OPEN: frozenset[State] = frozenset({"queued", "retrying"})

TRANSITIONS: Mapping[tuple[State, Happening], State] = {
    ("queued", "claimed"): "queued",
    ("queued", "accepted"): "sent",
    ("queued", "failed"): "retrying",
    ("queued", "given_up"): "dead",
    ("retrying", "claimed"): "retrying",
    ("retrying", "accepted"): "sent",
    ("retrying", "failed"): "retrying",
    ("retrying", "given_up"): "dead",
}
"""What can happen to a delivery; what is not here can't happen."""

REJECTED_ATTEMPTS_MAX = 3
LEASE_MARGIN_S = 2.0
JITTER = 0.2

STATUS_BUSY = frozenset({408, 425, 429})
STATUS_REJECTED = frozenset({400, 413, 415, 422})


class IllegalHappening(Exception):
    """Something happened to a delivery that had ended; a promise of the caller is broken."""


@dataclass(frozen=True)
class Answer:
    """How an attempt ended. `detail` is one line without anything the receiver wrote."""

    kind: AnswerKind
    detail: str
    retry_after_s: float | None = None


class Route(Protocol):
    """A way to tell somebody."""

    @property
    def name(self) -> str:
        """Its name in config."""
        ...

    @property
    def timeout_s(self) -> float:
        """How long an attempt may take."""
        ...

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """Make one attempt; what can go wrong outside is in the answer, never raised."""
        ...


@dataclass(frozen=True)
class Policy:
    """How often and how long to try."""

    retry_max_s: float
    attempts_max: int


@dataclass(frozen=True)
class Delivery:
    """One message on its way to one route. `due_s` is the monotonic twin of `due_at`."""

    fingerprint: str
    pending_at: datetime
    route: str
    event: Event
    message: Mapping[str, Any]
    created_at: datetime
    due_at: datetime
    due_s: float
    state: State = "queued"
    attempts: int = 0
    sent_at: datetime | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its name among all deliveries: the route and the message's key."""
        return self.route, str(self.message["idempotency_key"])

    @property
    def incident(self) -> str:
        """The id of the incident that it tells of."""
        return incident_id(self.fingerprint, self.pending_at)


def claimed(delivery: Delivery, now: Moment, timeout_s: float) -> Delivery:
    """One attempt more, and nobody else's until the lease is over."""
    return replace(
        _moved(delivery, "claimed"),
        attempts=delivery.attempts + 1,
        **_due(now, timeout_s + LEASE_MARGIN_S),
    )


def answered(
    delivery: Delivery, answer: Answer, now: Moment, policy: Policy, jitter: float
) -> Delivery:
    """What a claimed delivery becomes by the receiver's answer; `jitter` is from 0 to 1."""
    if answer.kind == "sent":
        return replace(_moved(delivery, "accepted"), sent_at=now.at, error=None)
    if delivery.attempts >= _attempts_max(answer.kind, policy):
        return given_up(delivery, answer.detail)
    wait_s = retry_wait_s(delivery.attempts, answer.retry_after_s, policy.retry_max_s, jitter)
    return replace(_moved(delivery, "failed"), error=answer.detail, **_due(now, wait_s))


def given_up(delivery: Delivery, error: str) -> Delivery:
    """A delivery that will not be tried again, and why."""
    return replace(_moved(delivery, "given_up"), error=error)


def retry_wait_s(
    attempts: int, retry_after_s: float | None, retry_max_s: float, jitter: float
) -> float:
    """How long to wait after so many attempts: doubling from 1 s, give or take a fifth.

    The receiver's `Retry-After` counts when it is longer. Nothing makes a page wait longer than
    `retry_max_s`: a receiver's mistake must not silence it for a day.
    """
    backoff_s = min(2.0 ** min(attempts - 1, 30), retry_max_s)
    spread_s = backoff_s * (1 - JITTER + 2 * JITTER * jitter)
    return min(max(spread_s, retry_after_s or 0.0), retry_max_s)


def judge_status(status: int, retry_after: str | None, now: datetime) -> Answer:
    """What an HTTP answer means."""
    detail = f"HTTP {status}"
    if 200 <= status < 300:  # noqa: PLR2004  the protocol's own numbers
        return Answer("sent", detail)
    if status in STATUS_BUSY or status >= 500:  # noqa: PLR2004  the protocol's own numbers
        return Answer("busy", detail, _parse_retry_after(retry_after, now))
    return Answer("rejected" if status in STATUS_REJECTED else "refused", detail)


def select_dropped(queue: Sequence[Delivery]) -> list[Delivery]:
    """What a queue that is too long can best do without, oldest first; never its head.

    A repeat; else all about an incident that began and ended in here, unknown to the receiver.
    Nothing else: what is left is bounded by the number of incidents that are open.
    """
    candidates = queue[1:]
    repeat = next((d for d in candidates if d.event == "repeat"), None)
    if repeat:
        return [repeat]
    ended = {d.incident for d in candidates if d.event == "resolve"}
    begun = (d.incident for d in candidates if d.event == "trigger" and d.incident in ended)
    oldest = next(begun, None)
    return [d for d in candidates if d.incident == oldest]


def _moved(delivery: Delivery, happening: Happening) -> Delivery:
    if (delivery.state, happening) not in TRANSITIONS:
        raise IllegalHappening(f"{happening!r} for a delivery that is {delivery.state}")
    return replace(delivery, state=TRANSITIONS[delivery.state, happening])


def _attempts_max(kind: AnswerKind, policy: Policy) -> int:
    if kind == "rejected":
        return min(REJECTED_ATTEMPTS_MAX, policy.attempts_max)
    return policy.attempts_max


def _due(now: Moment, wait_s: float) -> dict[str, Any]:
    return {"due_at": now.at + timedelta(seconds=wait_s), "due_s": now.monotonic_s + wait_s}


def _parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds or a date (RFC 9110, 10.2.3); None when it is neither."""
    if header is None:
        return None
    text = header.strip()[:64]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
