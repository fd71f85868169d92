"""Owns what every run needs and none owns, and asking all of it what the gates judge by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from shippyard.config.base import Environment
from shippyard.config.calendar import Calendar
from shippyard.host.clock import Clock
from shippyard.migration.approvals.book import Book
from shippyard.migration.approvals.model import Standing
from shippyard.migration.attestations import Attestations
from shippyard.migration.audit import Audit
from shippyard.migration.drift import Drifts
from shippyard.migration.facts import Attested, BackupFacts, Backups, Facts, Live
from shippyard.migration.gates import first_blocking
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.journal import Journal
from shippyard.migration.known import Advise, Known, Rehearsals
from shippyard.migration.order import Order
from shippyard.migration.planner import look_or_none
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.session import one_line
from shippyard.telemetry.condition import Announce, Tell
from shippyard.telemetry.metrics import Metrics

BatchSeen = Callable[[str, Mapping[str, Any]], None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What every run needs. `batch_seen` hears of backfills, `remember` keeps our memory safe."""

    environment: Environment
    calendar: Calendar
    journal: Journal
    audit: Audit
    book: Book
    rehearsals: Rehearsals
    drifts: Drifts
    supervisor: Supervisor
    metrics: Metrics
    clock: Clock
    backups: Backups
    live: Live
    tell: Tell
    announce: Announce
    advise: Advise
    batch_seen: BatchSeen
    remember: Callable[[], None]
    attestations: Attestations


def plan_hash_of(known: Known, order: Order) -> str:
    """What approvals must be of: a run that goes on was approved before it began."""
    before = order.of_run.plan_hash if order.of_run else None
    return before or known.plan_hash


def gather_facts(
    parts: Parts,
    known: Known,
    order: Order,
    *,
    backup_promised: bool,
    active_run: str | None = None,
) -> Facts:
    """What the gates judge by; what can't be had is unknown, never fine."""
    prepared = known.prepared
    database = prepared.plan.database
    found = look_or_none(prepared.target, with_schema=True)
    backup, backup_known = _backup(parts, database)
    reader, reader_known = _reader(parts, database)
    return Facts(
        database=database,
        environment=parts.environment,
        policy=prepared.policy,
        now=parts.clock.now(),
        plan=prepared.plan,
        server=found.server if found else None,
        live=parts.live.facts(database),
        backup=backup,
        backup_known=backup_known,
        backup_promised=backup_promised,
        active_run=active_run,
        hazards=known.hazards,
        rehearsal=known.rehearsal,
        rehearsal_known=known.rehearsal_known,
        approvals=_approvals(parts, known, order),
        attested=_attested(parts, database),
        fingerprint=found.fingerprint if found else None,
        expected_fingerprint=parts.drifts.expected(database),
        goes_on=order.of_run is not None,
        way=order.way,
        calendar=parts.calendar,
        reader=reader,
        reader_known=reader_known,
        system_identifier=found.system_identifier if found else None,
        exposed=prepared.tree.exposed,
    )


def blocking_for(facts: Facts, verdicts: Sequence[Verdict], order: Order) -> Verdict | None:
    """The first verdict that forbids the run, when what was approved is counted in."""
    agreed = facts.approvals
    return first_blocking(
        verdicts,
        facts.policy,
        agreed.overrides if agreed else frozenset(),
        emergency=order.emergency and agreed is not None and agreed.emergency,
    )


def _backup(parts: Parts, database: str) -> tuple[BackupFacts | None, bool]:
    try:
        return parts.backups.newest(database), True
    except Exception as error:  # noqa: BLE001  whatever the catalog's trouble, the fact is unknown
        log.warning("migration.backup_unknown", database=database, error=one_line(error))
        return None, False


def _reader(parts: Parts, database: str) -> tuple[str | None, bool]:
    try:
        return parts.backups.reading(database), True
    except Exception as error:  # noqa: BLE001  whatever the server's trouble, the fact is unknown
        log.warning("migration.reader_unknown", database=database, error=one_line(error))
        return None, False


def _attested(parts: Parts, database: str) -> tuple[Attested, ...] | None:
    try:
        return parts.attestations.attested(database)
    except Exception as error:  # noqa: BLE001  whatever the state's trouble, the fact is unknown
        log.warning("migration.attested_unknown", database=database, error=one_line(error))
        return None


def _approvals(parts: Parts, known: Known, order: Order) -> Standing | None:
    plan, policy = known.prepared.plan, known.prepared.policy
    try:
        return parts.book.standing(
            plan.database, plan_hash_of(known, order), order.by.uid, policy.approvals
        )
    except Exception as error:  # noqa: BLE001  whatever the state's trouble, the fact is unknown
        log.warning("migration.approvals_unknown", database=plan.database, error=one_line(error))
        return None
