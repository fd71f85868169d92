"""Owns what alerting answers on the control socket: what is wrong, and what people do about it.

Whoever quiets something, or takes it on, is written down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from shippyard.alerting.delivery import Answer
from shippyard.alerting.hush import TooManySilences
from shippyard.alerting.incidents import Event
from shippyard.alerting.ledger import LedgerUnavailable
from shippyard.alerting.service import NoSuchIncident, NoSuchRoute
from shippyard.alerting.silences import FIELDS, LENGTH_MAX, fits
from shippyard.control.method import Call, Document, Method, MethodError

WHY_MAX_CHARS = 500
PATTERN_MAX_CHARS = 200


class Audit(Protocol):
    """Where it is written down who did it."""

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        """Append one entry; gives its hash."""
        ...


class Incidents(Protocol):
    """Where incidents are looked up, taken on, silenced, and routes tried."""

    def incidents(self, *, with_ended: bool = False) -> list[dict[str, Any]]:
        """Open ones, and on request those that ended."""
        ...

    def acknowledge(self, id_: str, by: str, note: str) -> dict[str, Any]:
        """Take one on."""
        ...

    def silences(self) -> Sequence[dict[str, Any]]:
        """What is silenced."""
        ...

    def silence(
        self, match: Mapping[str, str], why: str, by: str, length: timedelta
    ) -> dict[str, Any]:
        """Silence what fits."""
        ...

    def unsilence(self, id_: str) -> dict[str, Any] | None:
        """End a silence."""
        ...

    def test(self, route: str, by: str) -> list[tuple[Event, Answer]]:
        """Try a route."""
        ...


def build(alerting: Incidents, audit: Audit) -> list[Method]:
    """`alerts` for all who may look; the rest for operators."""
    desk = _Desk(alerting, audit)
    return [
        Method("alerts", "viewer", desk.alerts),
        Method("alerts.ack", "operator", desk.ack),
        Method("alerts.silence", "operator", desk.silence),
        Method("alerts.unsilence", "operator", desk.unsilence),
        Method("alerts.test", "operator", desk.test),
    ]


@dataclass(frozen=True)
class _Desk:
    """What people do, and where it is written down."""

    alerting: Incidents
    audit: Audit

    def alerts(self, call: Call) -> Document:
        """What is wrong now, and on request what was."""
        wanted = call.params.get("all", False)
        if not isinstance(wanted, bool):
            raise MethodError("usage", "'all' must be true or false")
        incidents = self.alerting.incidents(with_ended=wanted)
        return {"incidents": incidents, "silences": self.alerting.silences()}

    def ack(self, call: Call) -> Document:
        """Take an incident on."""
        id_ = _text(call.params, "id", PATTERN_MAX_CHARS)
        note = _text(call.params, "why", WHY_MAX_CHARS, otherwise="")
        try:
            incident = self.alerting.acknowledge(id_, call.peer.user, note)
        except NoSuchIncident as error:
            raise MethodError("usage", str(error)) from None
        self.audit.record(call.peer.user, "alert.ack", incident["id"], {"why": note})
        return {"incident": incident}

    def silence(self, call: Call) -> Document:
        """Silence what fits, for a while."""
        match, why = _match(call.params), _text(call.params, "why", WHY_MAX_CHARS)
        length = _length(call.params)
        try:
            made = self.alerting.silence(match, why, call.peer.user, length)
        except (TooManySilences, LedgerUnavailable) as error:
            raise MethodError("failed", f"nothing is silenced: {error}") from None
        self.audit.record(call.peer.user, "alert.silence", made["id"], made)
        return {"silence": made, "covers": _covered(self.alerting.incidents(), match)}

    def unsilence(self, call: Call) -> Document:
        """End a silence."""
        id_ = _text(call.params, "id", PATTERN_MAX_CHARS)
        try:
            ended = self.alerting.unsilence(id_)
        except LedgerUnavailable as error:
            raise MethodError("failed", f"it is still in force: {error}") from None
        if ended is None:
            raise MethodError("usage", f"no silence {id_!r}; see: shippyard ctl alerts list")
        self.audit.record(call.peer.user, "alert.unsilence", id_, {})
        return {"silence": ended}

    def test(self, call: Call) -> Document:
        """Try a route."""
        route = _text(call.params, "route", PATTERN_MAX_CHARS)
        self.audit.record(call.peer.user, "alert.test", route, {})
        try:
            answers = self.alerting.test(route, call.peer.user)
        except NoSuchRoute as error:
            raise MethodError("usage", str(error)) from None
        return {"route": route, "answers": [_answered(event, each) for event, each in answers]}


def _answered(event: Event, answer: Answer) -> dict[str, Any]:
    return {"event": event, "taken": answer.kind == "sent", "answer": answer.detail}


def _covered(incidents: Sequence[Mapping[str, Any]], match: Mapping[str, str]) -> list[str]:
    """Open incidents that the silence covers: what it shows of itself at once."""
    return [each["id"] for each in incidents if fits(match, each)]


def _text(params: Document, name: str, most: int, otherwise: str | None = None) -> str:
    given = params.get(name, otherwise)
    if not isinstance(given, str) or (not given.strip() and otherwise is None):
        raise MethodError("usage", f"say {name!r}, as text")
    if not _can_be_kept(given):
        raise MethodError("usage", f"{name!r} holds what is no character")
    if len(given) > most:
        raise MethodError("usage", f"{name!r} is longer than {most} characters")
    return " ".join(given.split())


def _can_be_kept(text: str) -> bool:
    """JSON can name halves of characters, which no file can hold."""
    return text.encode(errors="replace").decode() == text


def _match(params: Document) -> dict[str, str]:
    given = params.get("match")
    if not isinstance(given, dict) or not given:
        raise MethodError("usage", "say what to silence: match, patterns by field")
    for field, pattern in given.items():
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise MethodError("usage", f"a silence can't go by {field!r}; it can by: {known}")
        is_text = isinstance(pattern, str) and _can_be_kept(pattern)
        if not is_text or not 0 < len(pattern) <= PATTERN_MAX_CHARS:
            raise MethodError("usage", f"the pattern for {field!r} must be text, and not empty")
    return dict(given)


def _length(params: Document) -> timedelta:
    given = params.get("for_s")
    most = LENGTH_MAX.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= most:
        raise MethodError("usage", f"'for_s' must be seconds, at most {most:.0f} (30 days)")
    return timedelta(seconds=float(given))
