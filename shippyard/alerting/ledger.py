"""Owns the tables of alerting: what is written there of incidents, deliveries and silences.

An incident's change and the messages it causes are one transaction. Knows no queue and no policy;
every failure of the database is `LedgerUnavailable`, and what then is the journal's affair.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from shippyard.alerting import delivery as parcels
from shippyard.alerting.delivery import Delivery
from shippyard.alerting.incidents import OPEN, Incident, Moment, incident_id
from shippyard.alerting.silences import Silence, is_usable
from shippyard.state.database import State
from shippyard.state.tables import deliveries, incidents, silences

KEEP_RESOLVED_DAYS = 90
KEEP_DROPPED_DAYS = 1
PAGES = ("trigger", "repeat")
"""What tells a receiver of an incident; of what it was never told it hears no end."""

Entry = tuple[int | None, Delivery]
"""A delivery and its row; None while it has none."""


class LedgerUnavailable(Exception):
    """The state database can't be read or written; says why in one line."""


@dataclass(frozen=True)
class Loaded:
    """What an earlier daemon left. `untold`: (route, incident id) whose pages never arrived."""

    incidents: tuple[Incident, ...] = ()
    deliveries: tuple[tuple[int, Delivery], ...] = ()
    untold: frozenset[tuple[str, str]] = frozenset()


class Ledger:
    """Reads and writes the two tables. Safe to use from any thread."""

    def __init__(self, state: State) -> None:
        self._state = state

    def write(
        self, changed: Sequence[Incident], entries: Sequence[Entry]
    ) -> list[tuple[int | None, Delivery]]:
        """Bring rows to what is given, all or nothing; returns the entries with their rows.

        Raises:
            LedgerUnavailable: nothing was written.
        """
        with _translated(), self._state.write() as connection:
            for incident in changed:
                _put_incident(connection, incident)
            return [(_put_delivery(connection, row, d), d) for row, d in entries]

    def claim(self, row: int, before: Delivery, after: Delivery) -> bool:
        """Take the delivery by compare-and-set; False when it is not as `before` any more.

        Raises:
            LedgerUnavailable: it is unknown whether it may be taken.
        """
        same = and_(
            deliveries.c.id == row,
            deliveries.c.state == before.state,
            deliveries.c.attempts == before.attempts,
        )
        with _translated(), self._state.write() as connection:
            taken = connection.execute(update(deliveries).where(same).values(_progress(after)))
            return taken.rowcount == 1

    def delivery(self, row: int, now: Moment) -> Delivery | None:
        """The delivery in `row` as it is now, or None when there is none.

        Raises:
            LedgerUnavailable: it can't be read.
        """
        with _translated(), self._state.read() as connection:
            found = connection.execute(_joined().where(deliveries.c.id == row)).one_or_none()
        return _delivery_of(found, now) if found else None

    def load(self, routes: Collection[str], now: Moment) -> Loaded:
        """Open incidents, and messages not delivered yet to one of `routes`, oldest first.

        Messages to routes that config does not name any more are given up.

        Raises:
            LedgerUnavailable: they can't be read.
        """
        with _translated(), self._state.write() as connection:
            _give_up_others(connection, routes)
            told = _routes_told(connection)
            opened = connection.execute(
                select(incidents).where(incidents.c.state.in_(OPEN)).order_by(incidents.c.id)
            ).all()
            waiting = connection.execute(
                _joined().where(deliveries.c.state.in_(parcels.OPEN)).order_by(deliveries.c.id)
            ).all()
            untold = _pages_lost(connection)
        return Loaded(
            tuple(_incident_of(row, now, told.get(row.id, ())) for row in opened),
            tuple((row.id, _delivery_of(row, now)) for row in waiting),
            untold,
        )

    def ended(self, limit: int, now: Moment) -> list[Incident]:
        """The newest incidents that fired and are over, newest first.

        Raises:
            LedgerUnavailable: they can't be read.
        """
        query = select(incidents).where(incidents.c.state == "resolved")
        with _translated(), self._state.read() as connection:
            rows = connection.execute(query.order_by(incidents.c.id.desc()).limit(limit)).all()
        return [_incident_of(row, now, ()) for row in rows]

    def deliveries_of(self, incident: Incident, limit: int, now: Moment) -> list[Delivery]:
        """The newest messages about an incident, oldest of them first.

        Raises:
            LedgerUnavailable: they can't be read.
        """
        query = _joined().where(_is(incident.fingerprint, incident.pending_at))
        with _translated(), self._state.read() as connection:
            rows = connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit)).all()
        return [_delivery_of(row, now) for row in reversed(rows)]

    def silences(self, now: datetime) -> list[Silence]:
        """Those that are not over, the first to end first.

        Raises:
            LedgerUnavailable: they can't be read.
        """
        columns = [silences.c[each.name] for each in fields(Silence)]
        query = select(*columns).where(silences.c.ends_at > now).order_by(silences.c.ends_at)
        with _translated(), self._state.read() as connection:
            rows = connection.execute(query).all()
        found = [Silence(*row) for row in rows]
        return [each for each in found if is_usable(each.match)]

    def put_silence(self, silence: Silence) -> None:
        """Write a silence, or what became of one.

        Raises:
            LedgerUnavailable: nothing was written.
        """
        same = silences.c.id == silence.id
        values = {each.name: getattr(silence, each.name) for each in fields(silence)}
        with _translated(), self._state.write() as connection:
            if connection.execute(update(silences).where(same).values(values)).rowcount == 0:
                connection.execute(insert(silences).values(values))

    def dead_counts(self) -> Mapping[str, int]:
        """How many messages were given up, by route.

        Raises:
            LedgerUnavailable: they can't be counted.
        """
        query = select(deliveries.c.route, func.count()).where(deliveries.c.state == "dead")
        with _translated(), self._state.read() as connection:
            rows = connection.execute(query.group_by(deliveries.c.route)).all()
        return {row[0]: row[1] for row in rows}

    def prune(self, now: datetime) -> None:
        """Forget what is long over and owes nobody a message.

        Raises:
            LedgerUnavailable: nothing was deleted.
        """
        owing = select(deliveries.c.incident_id).where(deliveries.c.state.in_(parcels.OPEN))
        old = select(incidents.c.id).where(
            incidents.c.id.not_in(owing),
            case(
                (incidents.c.state == "resolved", now - timedelta(days=KEEP_RESOLVED_DAYS)),
                (incidents.c.state == "dropped", now - timedelta(days=KEEP_DROPPED_DAYS)),
            )
            > incidents.c.resolved_at,
        )
        with _translated(), self._state.write() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.incident_id.in_(old)))
            connection.execute(delete(incidents).where(incidents.c.id.in_(old)))
            long_over = silences.c.ends_at < now - timedelta(days=KEEP_RESOLVED_DAYS)
            connection.execute(delete(silences).where(long_over))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, TypeError) as error:
        # The last two: a row that somebody else wrote, or a text that no file can hold.
        # the driver's own words: SQLAlchemy's text repeats statements and their parameters
        cause = getattr(error, "orig", None) or error
        raise LedgerUnavailable(f"{type(cause).__name__}: {cause}".splitlines()[0]) from None


def _is(fingerprint: str, pending_at: datetime) -> Any:
    return and_(incidents.c.fingerprint == fingerprint, incidents.c.pending_at == pending_at)


def _put_incident(connection: Connection, incident: Incident) -> None:
    changing = {
        "severity": incident.severity,
        "state": incident.state,
        "summary": incident.summary,
        "evidence": dict(incident.evidence),
        "firing_at": incident.firing_at,
        "resolved_at": incident.resolved_at,
        "seen_at": incident.seen_at,
        "notified_at": incident.notified_at,
        "acked_at": incident.acked_at,
        "acked_by": incident.acked_by,
        "ack_note": incident.ack_note,
    }
    same = _is(incident.fingerprint, incident.pending_at)
    if connection.execute(update(incidents).where(same).values(changing)).rowcount == 0:
        fixed = {
            "fingerprint": incident.fingerprint,
            "rule": incident.rule,
            "cluster": incident.cluster,
            "database": incident.database,
            "subject": incident.subject,
            "pending_at": incident.pending_at,
        }
        connection.execute(insert(incidents).values(fixed | changing))


def _put_delivery(connection: Connection, row: int | None, delivery: Delivery) -> int | None:
    """The row it is in; None when its incident was forgotten meanwhile."""
    if row is not None:
        connection.execute(
            update(deliveries).where(deliveries.c.id == row).values(_progress(delivery))
        )
        return row
    of = select(incidents.c.id).where(_is(delivery.fingerprint, delivery.pending_at))
    incident = connection.scalar(of.order_by(incidents.c.id.desc()).limit(1))
    if incident is None:
        return None
    fixed = {
        "incident_id": incident,
        "route": delivery.route,
        "event": delivery.event,
        "created_at": delivery.created_at,
        "message": dict(delivery.message),
    }
    result = connection.execute(insert(deliveries).values(fixed | _progress(delivery)))
    return int(result.inserted_primary_key[0]) if result.inserted_primary_key else None


def _progress(delivery: Delivery) -> dict[str, Any]:
    return {
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.due_at,
        "sent_at": delivery.sent_at,
        "error": delivery.error,
    }


def _joined() -> Any:
    columns = (deliveries, incidents.c.fingerprint, incidents.c.pending_at)
    return select(*columns).join(incidents, incidents.c.id == deliveries.c.incident_id)


def _give_up_others(connection: Connection, routes: Collection[str]) -> None:
    others = and_(deliveries.c.state.in_(parcels.OPEN), deliveries.c.route.not_in(routes))
    gone = {"state": "dead", "error": "the route is not in the configuration any more"}
    connection.execute(update(deliveries).where(others).values(gone))


def _routes_told(connection: Connection) -> dict[int, tuple[str, ...]]:
    """Which routes were sent a message of each open incident."""
    query = (
        select(deliveries.c.incident_id, deliveries.c.route)
        .join(incidents, incidents.c.id == deliveries.c.incident_id)
        .where(incidents.c.state.in_(OPEN))
        .distinct()
    )
    told: dict[int, tuple[str, ...]] = {}
    for incident, route in connection.execute(query.order_by(deliveries.c.route)):
        told[incident] = (*told.get(incident, ()), route)
    return told


def _pages_lost(connection: Connection) -> frozenset[tuple[str, str]]:
    """Incidents of which a route got no page and waits for none, while a resolve may still come."""
    open_or_owing = incidents.c.state.in_(OPEN) | incidents.c.id.in_(
        select(deliveries.c.incident_id).where(deliveries.c.state.in_(parcels.OPEN))
    )
    query = (
        select(deliveries.c.route, incidents.c.fingerprint, incidents.c.pending_at)
        .join(incidents, incidents.c.id == deliveries.c.incident_id)
        .where(deliveries.c.event.in_(PAGES), open_or_owing)
        .group_by(deliveries.c.route, incidents.c.id)
        .having(func.sum(case((deliveries.c.state == "dead", 0), else_=1)) == 0)
    )
    found = connection.execute(query).all()
    return frozenset((r.route, incident_id(r.fingerprint, r.pending_at)) for r in found)


def _incident_of(row: Row[Any], now: Moment, told: tuple[str, ...]) -> Incident:
    # Of the time before the restart only what was looked at counts: the daemon's own absence must
    # not make a blink a page.
    watched_s = max(0.0, (row.seen_at - row.pending_at).total_seconds())
    notified_s = None
    if row.notified_at:
        notified_s = now.monotonic_s - max(0.0, (now.at - row.notified_at).total_seconds())
    return Incident(
        fingerprint=row.fingerprint,
        rule=row.rule,
        cluster=row.cluster,
        database=row.database,
        severity=row.severity,
        state=row.state,
        summary=row.summary,
        evidence=row.evidence,
        pending_at=row.pending_at,
        since_s=now.monotonic_s - watched_s,
        seen_at=row.seen_at,
        firing_at=row.firing_at,
        resolved_at=row.resolved_at,
        notified_at=row.notified_at,
        notified_s=notified_s,
        told=told,
        subject=row.subject,
        acked_at=row.acked_at,
        acked_by=row.acked_by,
        ack_note=row.ack_note,
    )


def _delivery_of(row: Row[Any], now: Moment) -> Delivery:
    wait_s = max(0.0, (row.next_attempt_at - now.at).total_seconds())
    return Delivery(
        fingerprint=row.fingerprint,
        pending_at=row.pending_at,
        route=row.route,
        event=row.event,
        message=row.message,
        created_at=row.created_at,
        due_at=row.next_attempt_at,
        due_s=now.monotonic_s + wait_s,
        state=row.state,
        attempts=row.attempts,
        sent_at=row.sent_at,
        error=row.error,
    )
