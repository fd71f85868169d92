"""A small Alembic tree, and the migrations service on a real database."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shippyard.config.calendar import Calendar
from shippyard.config.migration import Migration
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.signing import signer_in
from shippyard.migration.approvals.book import Book
from shippyard.migration.attestations import Attestations, here_of
from shippyard.migration.audit import Audit
from shippyard.migration.drift import Drifts
from shippyard.migration.execution import Listener
from shippyard.migration.filling import Backfills
from shippyard.migration.journal import Journal
from shippyard.migration.launch_socket import launcher_of
from shippyard.migration.order import Order, Requester
from shippyard.migration.parts import Parts
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.migration.service import Migrations
from shippyard.migration.spec import RenderSpec
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics

ANA = Order(Requester(1000, "ana"))

ENV = """
from alembic import context
from sqlalchemy import create_engine

config = context.config


def configure_and_run(**where):
    context.configure(transaction_per_migration=True, **where)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    configure_and_run(url=config.get_main_option("sqlalchemy.url"), literal_binds=True)
elif config.attributes.get("connection") is not None:
    configure_and_run(connection=config.attributes["connection"])
else:
    with create_engine(config.get_main_option("sqlalchemy.url")).connect() as connection:
        configure_and_run(connection=connection)
"""

INI = """
[alembic]
script_location = %(here)s
file_template = %%(rev)s_%%(slug)s
sqlalchemy.url = postgresql+psycopg://
"""

REVISION = '''"""{slug}"""

import os
import time

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''


class TreeOnDisk:
    """Writes revisions, each on top of the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        self.last: str | None = None
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text(ENV)
        self.ini.write_text(INI)

    def add(self, upgrade: str, downgrade: str = "op.execute('SELECT 1')") -> Path:
        revision = f"{int(self.last or 0) + 1:03d}"
        path = self.folder / "versions" / f"{revision}_step.py"
        path.write_text(
            REVISION.format(
                slug="step", revision=revision, down=self.last, upgrade=upgrade, downgrade=downgrade
            )
        )
        self.last = revision
        return path


@dataclass(frozen=True)
class FakeBackup:
    id: str
    database: str
    finished_at: datetime
    kind: str = "dump"
    size_bytes: int = 4096


class FakeBackups:
    """Backups of nothing; remembers who asked."""

    def __init__(self) -> None:
        self.taken: list[FakeBackup] = []
        self.held_by: list[str] = []
        self.released: list[str] = []
        self.succeeded: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self.reader: str | None = None

    def newest(self, database: str) -> FakeBackup | None:
        return self.taken[-1] if self.taken else None

    def take(
        self, database: str, *, held_by: str, progress: Callable[[Mapping[str, Any]], None]
    ) -> FakeBackup:
        progress({"phase": "dumping", "size_bytes": 1})
        self.during()
        self.held_by.append(held_by)
        self.taken.append(FakeBackup(f"backup-{len(self.taken)}", database, datetime.now(UTC)))
        return self.taken[-1]

    def release(self, database: str, *, held_by: str) -> None:
        self.released.append(held_by)

    def release_earlier(self, database: str, *, than: str) -> None:
        self.succeeded.append(than)

    def reading(self, database: str) -> str | None:
        return self.reader


@dataclass
class FakeLive:
    in_recovery: bool = False
    blocked_sessions: int = 0
    longest_transaction_s: float = 0.0
    replication_lag_s: float | None = None
    connections_used_ratio: float = 0.1
    observed_age_s: float = 0.5
    oldest_snapshot_s: float | None = 0.0
    oldest_prepared_s: float | None = 0.0
    freeze_vacuums: tuple[str, ...] | None = ()
    autovacuums: Mapping[str, float] | None = field(default_factory=dict)
    archive_failing: bool | None = False
    archive_waiting_s: float | None = 0.0
    idle_slots: tuple[str, ...] | None = ()
    disk_free_bytes: int | None = 2**40
    spare_indexes: Mapping[str, tuple[str, ...]] | None = field(default_factory=dict)
    unknown: bool = False

    def facts(self, database: str) -> "FakeLive | None":
        return None if self.unknown else self


@dataclass(frozen=True)
class Bench:
    """The service on one real database called `shippyar`, with its surroundings."""

    migrations: Migrations
    tree: TreeOnDisk
    target: Target
    backups: FakeBackups
    live: FakeLive
    metrics: Metrics
    state: State
    events: list[Mapping[str, Any]]
    build: Callable[..., Migrations]

    backfills: Backfills
    drifts: Drifts
    told: list[Condition]
    ana: Order = ANA

    def run(self, revision: str = "head", **more: Any) -> Any:
        heard = Listener(self.events.append, more.pop("on_verdict", lambda _: None))
        return self.migrations.run("shippyar", revision, order=ANA, listener=heard, **more)

    def begin_with_parcels(self, rows: str = "") -> None:
        """The first revision, as if it had run long ago."""
        self.tree.add("op.execute('CREATE TABLE parcels (id int PRIMARY KEY, weight int)')")
        self.execute(
            "CREATE TABLE parcels (id int PRIMARY KEY, weight int);"
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"
            f"INSERT INTO alembic_version VALUES ('001'); {rows}"
        )

    def execute(self, statements: str) -> None:
        with self.connect() as connection:
            connection.execute(statements.encode())

    def version(self) -> str | None:
        if self.scalar("SELECT to_regclass('public.alembic_version')") is None:
            return None
        found = self.scalar("SELECT version_num FROM public.alembic_version")
        assert found is None or isinstance(found, str)
        return found

    def scalar(self, statement: str) -> Any:
        with self.connect() as connection:
            row = connection.execute(statement.encode()).fetchone()
            return row[0] if row else None

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(**self.target.conninfo(), autocommit=True)

    def in_background(self, work: Callable[[], Any]) -> "Background":
        return Background(work)


class Background:
    """Work in a thread whose result or error is asked for later."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, args=[work], daemon=True)
        self._thread.start()

    def _do(self, work: Callable[[], Any]) -> None:
        try:
            self._result = work()
        except BaseException as error:  # noqa: BLE001  raised again by result()
            self._error = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def result(self, timeout_s: float = 20.0) -> Any:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "still working"
        if self._error:
            raise self._error
        return self._result


@pytest.fixture(scope="module")
def rendered_once() -> Iterator[None]:
    """Most tests plan one of a few trees: each is rendered by one child, not by one per test."""
    known: dict[Any, Any] = {}
    render = Supervisor.render

    def render_once(self: Supervisor, spec: RenderSpec) -> Any:
        # The copy's name says its content, and its folder is the test's own.
        key = replace(spec, copy=Path(spec.copy).name)
        if key not in known:
            known[key] = render(self, spec)
        return known[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Supervisor, "render", render_once)
        yield


@pytest.fixture
def bench(
    tmp_path: Path,
    fresh_database: Target,
    processes: Processes,
    state: State,
    rendered_once: None,
) -> Bench:
    tree = TreeOnDisk(tmp_path / "tree")
    backups, live, metrics = FakeBackups(), FakeLive(), Metrics()
    policy = Migration(
        alembic_ini=tree.ini, lock_timeout_ms=100, lock_attempts=100, retry_pause_s=0.05
    )

    target = replace(fresh_database, password="correct-horse")
    backfills = Backfills({"shippyar": target}, processes, metrics, SystemClock())

    clock = SystemClock()
    audit = Audit(state, clock)
    told: list[Condition] = []
    drifts = Drifts({"shippyar": target}, state, clock, audit, metrics=metrics, tell=told.append)
    signer, journal = signer_in(tmp_path / "keys"), Journal(state, clock)
    here = here_of("testing", frozenset({"shippyar"}), signer, ())
    parts = Parts(
        environment="testing",
        calendar=Calendar(),
        journal=journal,
        audit=audit,
        book=Book(state, clock, audit),
        rehearsals=RehearsalStore(state),
        drifts=drifts,
        supervisor=Supervisor(processes),
        metrics=metrics,
        clock=clock,
        backups=backups,
        live=live,
        tell=told.append,
        announce=lambda _: None,
        advise=lambda found, _: found,
        batch_seen=backfills.seen,
        remember=lambda: None,
        attestations=Attestations(state, clock, audit, journal, signer, here),
    )

    def build(config: Any = policy, targets: Any = None, **changes: Any) -> Migrations:
        known = {"shippyar": target} if targets is None else targets
        launcher = launcher_of(config.runner_socket if config else None, processes)
        fresh = replace(parts, **{"supervisor": Supervisor(processes, launcher), **changes})
        return Migrations(config, known, tmp_path / "plans", fresh)

    migrations = build()
    return Bench(
        migrations,
        tree,
        fresh_database,
        backups,
        live,
        metrics,
        state,
        [],
        build,
        backfills,
        drifts,
        told,
    )
