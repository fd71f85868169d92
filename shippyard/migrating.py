"""Owns joining what changes schemas: plans, gates, runs, backfills; and what they ask of others.

They know backups and health by Protocols only; here those are given to them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shippyard.config.models import Config
from shippyard.control.method import Method
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.host.signing import signer_of
from shippyard.migration import attest_methods, drift_methods
from shippyard.migration import methods as migration_methods
from shippyard.migration.anchor import Anchor
from shippyard.migration.approvals import methods as approval_methods
from shippyard.migration.approvals.book import Book
from shippyard.migration.approvals.methods import Desk
from shippyard.migration.attestations import Attestations, here_of
from shippyard.migration.audit import Audit
from shippyard.migration.drift import Drifts
from shippyard.migration.facts import Backups, Live
from shippyard.migration.filling import Backfills
from shippyard.migration.hazards.model import Hazard
from shippyard.migration.hazards.squawk import find_squawk, with_advice
from shippyard.migration.journal import Journal
from shippyard.migration.known import Advise
from shippyard.migration.launch_isolation import IsolationNotice, guarded
from shippyard.migration.launch_socket import launcher_of
from shippyard.migration.parts import Parts
from shippyard.migration.plan import Plan
from shippyard.migration.rehearsal import methods as rehearsal_methods
from shippyard.migration.rehearsal.copies import Copies
from shippyard.migration.rehearsal.rehearser import Rehearser
from shippyard.migration.rehearsal.service import Rehearsals
from shippyard.migration.rehearsal.statements import Asked, top_statements
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.migration.service import Migrations
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.target import Target, target_of
from shippyard.state.database import State
from shippyard.telemetry.condition import Announce, Tell
from shippyard.telemetry.metrics import Metrics

DRIFT_SCHEDULE = "*/15 * * * *"


@dataclass(frozen=True)
class Job:
    """Work with a five-field crontab line; it says in one line what it did."""

    name: str
    schedule: str
    run: Callable[[], str]


class Service(Protocol):
    """Something that runs until stopped; stopping twice, or before starting, is fine."""

    def start(self) -> None:
        """Begin to work in the background."""
        ...

    def stop(self) -> None:
        """Stop soon."""
        ...


@dataclass(frozen=True)
class Ground:
    """What everything here stands on. `remember` keeps the daemon's memory safe, soon."""

    config: Config
    processes: Processes
    state: State
    metrics: Metrics
    clock: Clock
    tell: Tell
    announce: Announce
    backups: Backups
    copies: Copies
    live: Live
    remember: Callable[[], None]

    @property
    def targets(self) -> Mapping[str, Target | None]:
        """How the migrator reaches each database; None where it has no login."""
        return {
            each.name: target_of(each, each.migrator) if each.migrator else None
            for each in self.config.databases
        }

    def top_statements(self, database: str) -> tuple[Asked, ...]:
        """What takes the most time in production, as the monitor may read it."""
        known = next(each for each in self.config.databases if each.name == database)
        return top_statements(target_of(known, known.monitor))


@dataclass(frozen=True)
class Migrating:
    """The parts, joined and not started."""

    migrations: Migrations
    backfills: Backfills
    audit: Audit
    services: Sequence[Service]
    jobs: Sequence[Job]
    methods: Sequence[Method]


def join(ground: Ground) -> Migrating:
    """Every part of the migration room."""
    policy, state, clock = ground.config.migration, ground.state, ground.clock
    backfills = Backfills(ground.targets, ground.processes, ground.metrics, clock)
    state_dir = ground.config.daemon.state_dir
    signer = signer_of(ground.config.backup.signing_key_credential, state_dir)
    believed = {signer.public_key, *ground.config.backup.trusted_keys}
    audit = Audit(state, clock, Anchor(state_dir, signer, believed))
    book = Book(state, clock, audit)
    drifts = Drifts(ground.targets, state, clock, audit, metrics=ground.metrics, tell=ground.tell)
    store = RehearsalStore(state)
    journal = Journal(state, clock)
    keys = policy.staging_keys if policy else ()
    here = here_of(ground.config.environment, frozenset(ground.targets), signer, keys)
    attestations = Attestations(state, clock, audit, journal, signer, here)
    launcher = launcher_of(policy.runner_socket if policy else None, ground.processes)
    parts = Parts(
        environment=ground.config.environment,
        calendar=ground.config.calendar,
        journal=journal,
        audit=audit,
        book=book,
        rehearsals=store,
        drifts=drifts,
        supervisor=Supervisor(ground.processes, launcher),
        metrics=ground.metrics,
        clock=clock,
        backups=ground.backups,
        live=ground.live,
        tell=ground.tell,
        announce=ground.announce,
        advise=_advice_of(find_squawk() if policy and policy.squawk else None, ground.processes),
        batch_seen=backfills.seen,
        remember=ground.remember,
        attestations=attestations,
    )
    plans_dir = state_dir / "plans"
    migrations = Migrations(policy, ground.targets, plans_dir, parts)
    rehearser = Rehearser(ground.copies, parts.supervisor, clock, store, ground.top_statements)
    rehearsals = Rehearsals(
        migrations,
        rehearser,
        store,
        audit=audit,
        metrics=ground.metrics,
        clock=clock,
        tell=ground.tell,
    )
    methods = [
        *migration_methods.build(migrations, backfills),
        *rehearsal_methods.build(rehearsals),
        *drift_methods.build(drifts),
        *attest_methods.build(attestations),
    ]
    if policy:
        methods += approval_methods.build(Desk(book, migrations, policy, lambda: None))
    services: list[Service] = [backfills, migrations]
    if policy:
        services.append(IsolationNotice(policy.runner_socket, guarded(ground.config)))
    jobs = (Job("migration.drift", DRIFT_SCHEDULE, drifts.look_at_all),)
    return Migrating(migrations, backfills, audit, services, jobs, methods)


def _advice_of(squawk: str | None, processes: Processes) -> Advise:
    def advise(found: tuple[Hazard, ...], plan: Plan) -> tuple[Hazard, ...]:
        return with_advice(found, plan, processes, squawk) if squawk else found

    return advise
