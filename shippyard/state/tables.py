"""Owns the shape of the state database. Who reads and writes a table is the room of its name.

Times are UTC, kept as ISO text of fixed width so that they sort; documents are JSON text.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """An aware time; naive ones are a programming error."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> str | None:
        """To text in UTC with microseconds."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time can't be kept")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, _: Dialect) -> datetime | None:
        """Back to an aware time."""
        return None if value is None else datetime.fromisoformat(value)


job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", String, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    # running | done | failed | interrupted; seen: since when the job is known, not a run
    Column("outcome", String, nullable=False),
    Column("detail", String, nullable=False, default=""),
    Index(None, "job", "due_at"),
)

backups = Table(
    "backups",
    metadata,
    Column("id", String, primary_key=True),
    Column("database", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    # schedule | manual | pre_migration
    Column("reason", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("duration_s", Float),
    Column("size_bytes", Integer),
    Column("manifest", JSON),
    Column("error", String),
    # the migration run that must be able to come back to it; retention leaves it alone
    Column("held_by", String),
    # the base backup that an incremental one needs
    Column("parent", String),
    Column("replicated_at", UtcTime),
    Column("drilled_at", UtcTime),
    Index(None, "database", "kind", "started_at"),
)

copies = Table(
    "copies",
    metadata,
    # a copy of a backup off the machine
    Column("backup_id", String, primary_key=True),
    Column("place", String, primary_key=True),
    # uploading | verified | expired | deleted | failed
    Column("state", String, nullable=False),
    Column("database", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("size_bytes", Integer),
    Column("started_at", UtcTime, nullable=False),
    Column("verified_at", UtcTime),
    # ids of the age keys it was encrypted to
    Column("key_ids", JSON, nullable=False),
    Column("error", String),
)

drills = Table(
    "drills",
    metadata,
    Column("id", String, primary_key=True),
    Column("backup_id", String, nullable=False),
    Column("database", String, nullable=False),
    Column("kind", String, nullable=False),
    # schedule | manual | rehearsal
    Column("reason", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    # running | passed | failed | interrupted
    Column("outcome", String, nullable=False),
    Column("rto_s", Float),
    Column("rpo_cluster_s", Float),
    Column("rpo_machine_s", Float),
    Column("size_bytes", Integer),
    # phases with seconds, what was compared, what differs from production
    Column("report", JSON, nullable=False),
    Column("error", String),
    Index(None, "database", "kind", "started_at"),
)

wal_gaps = Table(
    "wal_gaps",
    metadata,
    Column("id", Integer, primary_key=True),
    # @cluster
    Column("subject", String, nullable=False),
    Column("timeline", Integer, nullable=False),
    Column("first_segment", String, nullable=False),
    Column("last_segment", String, nullable=False),
    # missing | short | different | slot_lost
    Column("why", String, nullable=False),
    Column("found_at", UtcTime, nullable=False),
    # when it was mended, or a base backup made it harmless
    Column("closed_at", UtcTime),
    Index(None, "subject", "closed_at"),
)

notes = Table(
    "notes",
    metadata,
    # single facts that must survive a restart: what retention is frozen by, the last time seen
    Column("name", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("at", UtcTime, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("cluster", String, nullable=False),
    Column("database", String, nullable=False),
    # what of the database it is about, when that outlives a session; else empty
    Column("subject", String, nullable=False, server_default=""),
    Column("severity", String, nullable=False),
    # pending | firing | resolved | dropped
    Column("state", String, nullable=False),
    Column("summary", String, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("pending_at", UtcTime, nullable=False),
    Column("firing_at", UtcTime),
    Column("resolved_at", UtcTime),
    Column("seen_at", UtcTime, nullable=False),
    Column("notified_at", UtcTime),
    # who has taken it on: it is not repeated then
    Column("acked_at", UtcTime),
    Column("acked_by", String),
    Column("ack_note", String),
    Index(None, "fingerprint", "state"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", String, primary_key=True),
    # patterns by field: rule, cluster, database, subject, severity, id
    Column("match", JSON, nullable=False),
    Column("why", String, nullable=False),
    Column("made_by", String, nullable=False),
    Column("begins_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Index(None, "ends_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incident_id", Integer, ForeignKey("incidents.id"), nullable=False),
    Column("route", String, nullable=False),
    # trigger | repeat | acknowledge | resolve
    Column("event", String, nullable=False),
    # queued | retrying | sent | dead
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", UtcTime, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Column("error", String),
    Column("message", JSON, nullable=False),
    Index(None, "route", "state", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("database", String, nullable=False),
    Column("from_revision", String),
    Column("to_revision", String, nullable=False),
    Column("state", String, nullable=False),
    Column("requested_by", String, nullable=False),
    Column("content_hash", String, nullable=False),
    # None for a run that needed no plan to be approved
    Column("plan_hash", String),
    # up | down: a rollback is a run that goes down
    Column("way", String, nullable=False, default="up"),
    # the run that this one takes back, or goes on with
    Column("of_run", String),
    Column("backup_id", String),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("error", String),
    # verdicts, steps with their durations, lock retries
    Column("detail", JSON, nullable=False),
    Index(None, "database", "started_at"),
)

rehearsals = Table(
    "rehearsals",
    metadata,
    Column("id", String, primary_key=True),
    Column("database", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("from_revision", String),
    Column("to_revision", String, nullable=False),
    # of production's schema, which the restored one had to equal
    Column("fingerprint", String),
    Column("backup_id", String),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    # running | passed | failed | blocked | interrupted
    Column("outcome", String, nullable=False),
    # what was recorded; its SHA-256 is part of what approvals bind
    Column("report", JSON, nullable=False),
    Column("report_hash", String),
    Column("error", String),
    Index(None, "database", "content_hash", "started_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("database", String, nullable=False),
    # request | approve | reject | emergency
    Column("kind", String, nullable=False),
    Column("plan_hash", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("reason", String, nullable=False, default=""),
    # gates that this approval overrides
    Column("overrides", JSON, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    # the run that it was used up by
    Column("spent_by", String),
    Index(None, "database", "plan_hash"),
)

attestations = Table(
    "attestations",
    metadata,
    # signed records of other environments: this content ran there
    Column("id", String, primary_key=True),
    Column("content_hash", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("envelope", JSON, nullable=False),
    Index(None, "content_hash", "environment"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
)
