"""Facts with which every gate passes, and what a gate says when some of them change."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shippyard.config.migration import Migration
from shippyard.migration.facts import Facts, ServerFacts
from shippyard.migration.gates import ask_all
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.plan import Plan, Rendered, Revision
from shippyard.migration.rehearsal.report import Passage, Recorded, Report
from tests.conftest import FakeClock

POLICY = Migration(alembic_ini=Path("alembic.ini"))
NOW = FakeClock().now()
PARCELS = Revision("002", ("001",), (), "versions/002_add_parcels.py", "add parcels", True)
PLAN = Plan(
    "shippyar",
    "001",
    "002",
    ("002",),
    (PARCELS,),
    {},
    {"002": Rendered("CREATE INDEX CONCURRENTLY parcels_weight ON parcels (weight)")},
)


@dataclass(frozen=True)
class Live:
    in_recovery: bool = False
    blocked_sessions: int = 0
    longest_transaction_s: float = 3.0
    replication_lag_s: float | None = 0.1
    connections_used_ratio: float = 0.5
    observed_age_s: float = 1.0
    oldest_snapshot_s: float | None = 0.0
    oldest_prepared_s: float | None = 0.0
    freeze_vacuums: tuple[str, ...] | None = ()
    autovacuums: Mapping[str, float] | None = field(default_factory=dict)
    archive_failing: bool | None = False
    archive_waiting_s: float | None = 0.0
    idle_slots: tuple[str, ...] | None = ()
    disk_free_bytes: int | None = 2**30
    spare_indexes: Mapping[str, tuple[str, ...]] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Backup:
    finished_at: datetime
    id: str = "b1"
    database: str = "shippyar"
    kind: str = "dump"
    size_bytes: int = 10


FACTS = Facts(
    database="shippyar",
    environment="production",
    policy=POLICY,
    now=NOW,
    plan=PLAN,
    server=ServerFacts(in_recovery=False, invalid_indexes=()),
    live=Live(),
    backup=Backup(NOW - timedelta(hours=1)),
    backup_known=True,
    backup_promised=False,
    active_run=None,
    hazards=(),
    fingerprint="f1",
    system_identifier="1",
)
UP = Passage("up", Recorded())
REHEARSED = Report(
    id="r1",
    database="shippyar",
    content_hash=PLAN.content_hash,
    from_revision="001",
    to_revision="002",
    fingerprint="f1",
    system_identifier="1",
    backup_id="b1",
    tools="17",
    started_at=NOW - timedelta(hours=2),
    finished_at=NOW - timedelta(hours=1),
    outcome="passed",
    error=None,
    passages=(UP, replace(UP, way="down"), replace(UP, way="again")),
    schema_differences=(),
    losses=(),
    slower=(),
    revision_elapsed_s={},
    size_bytes=1,
    differs=(),
    phases={},
)


def verdict_of(gate: str, **changes: Any) -> Verdict:
    (found,) = [v for v in ask_all(replace(FACTS, **changes)) if v.gate == gate]
    return found
