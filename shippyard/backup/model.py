"""Owns what a backup is and the states it goes through. Pure: knows no disk, clock or database."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

Kind = Literal["dump", "schema", "base"]
Reason = Literal["schedule", "manual", "pre_migration"]
BackupState = Literal[
    "planned",
    "locked",
    "preflight",
    "running",
    "exited",
    "fsynced",
    "verified",
    "manifested",
    "published",
    "replicated",
    "drilled",
    "missing",
    "damaged",
    "expired",
    "deleted",
    "failed",
]

KINDS: tuple[Kind, ...] = ("dump", "schema", "base")
LOGICAL: tuple[Kind, ...] = ("dump", "schema")
"""Kinds of one database. A base backup is of a whole cluster, and filed under its subject."""

_COUNTED = frozenset[BackupState]({"published", "replicated", "drilled"})
_AFTER_PUBLISHED = frozenset[BackupState]({"expired", "missing", "damaged"})

# `missing` and `damaged` were published once. They count for nothing until the files are back,
# or decode again; then they are again what they were. A copy or a drill may come first. A drill
# that fails takes back what an earlier one proved.
TRANSITIONS: Mapping[BackupState, frozenset[BackupState]] = MappingProxyType(
    {
        "planned": frozenset({"locked", "failed"}),
        "locked": frozenset({"preflight", "failed"}),
        "preflight": frozenset({"running", "failed"}),
        "running": frozenset({"exited", "failed"}),
        "exited": frozenset({"fsynced", "failed"}),
        "fsynced": frozenset({"verified", "failed"}),
        "verified": frozenset({"manifested", "failed"}),
        "manifested": frozenset({"published", "failed"}),
        "published": _AFTER_PUBLISHED | {"replicated", "drilled"},
        "replicated": _AFTER_PUBLISHED | {"drilled"},
        "drilled": _AFTER_PUBLISHED | {"published", "replicated"},
        "missing": _COUNTED,
        "damaged": _COUNTED,
        "expired": frozenset({"deleted"}),
        "deleted": frozenset(),
        "failed": frozenset(),
    }
)
COUNTED: frozenset[BackupState] = _COUNTED
UNFINISHED: frozenset[BackupState] = frozenset(
    state for state, onward in TRANSITIONS.items() if "failed" in onward
)
SPOILT: frozenset[BackupState] = frozenset({"failed", "missing", "damaged"})

OPERATOR = "operator: "
"""What `held_by` begins with when a person holds a backup; else it is a migration run's id."""

_ID = re.compile(r"\d{8}T\d{6}Z-(dump|schema|base)-[0-9a-f]{6}")


class IllegalTransition(Exception):
    """A backup was told to go where its state does not lead: a bug, never a condition."""


class BackupFailed(Exception):
    """A backup, or work on one, did not succeed; the message is one line without secrets."""


class BackupUnknown(BackupFailed):
    """No backup has the id that was given; the message says where those that there are stand."""


@dataclass(frozen=True)
class Backup:
    """One attempt at a backup, and what became of it.

    `database` is its subject: a database by its name in config, or `@cluster` for a base backup.
    `started_at` is before the snapshot that it holds. `error` says why it does not count.
    `held_by` names the migration run that must be able to come back to it, or is `operator: `, who
    asked and why. `parent` is the base backup that an incremental one needs. `replicated_at` is
    when a copy off the machine was verified, `drilled_at` when a restore last proved it.
    """

    id: str
    database: str
    kind: Kind
    state: BackupState
    reason: Reason
    started_at: datetime
    finished_at: datetime | None = None
    duration_s: float | None = None
    size_bytes: int | None = None
    error: str | None = None
    held_by: str | None = None
    parent: str | None = None
    replicated_at: datetime | None = None
    drilled_at: datetime | None = None

    @property
    def counts(self) -> bool:
        """True while it is published: nothing else is ever relied on."""
        return self.state in COUNTED

    @property
    def is_finished(self) -> bool:
        """True once the attempt has ended, well or not."""
        return self.state not in UNFINISHED


@dataclass(frozen=True)
class Published:
    """What others need to know of a backup that counts."""

    id: str
    database: str
    kind: Kind
    started_at: datetime
    finished_at: datetime
    size_bytes: int


def advance(state: BackupState, to: BackupState) -> BackupState:
    """`to`, when the table lets `state` go there.

    Raises:
        IllegalTransition: it does not.
    """
    if to not in TRANSITIONS[state]:
        raise IllegalTransition(f"a backup can't go from {state} to {to}")
    return to


def moved(backup: Backup, to: BackupState, error: str | None = None) -> Backup:
    """The backup in its next state.

    Raises:
        IllegalTransition: the table has no such step.
    """
    return replace(backup, state=advance(backup.state, to), error=error)


def standing(backup: Backup) -> BackupState:
    """The state of a whole, published backup, by what was done with it since."""
    if backup.drilled_at is not None:
        return "drilled"
    return "published" if backup.replicated_at is None else "replicated"


def settled(backup: Backup) -> Backup:
    """The backup in the state that it stands in by what was done with it.

    Raises:
        IllegalTransition: it does not count and can't again.
    """
    state = standing(backup)
    return backup if backup.state == state else moved(backup, state)


def published_facts(backup: Backup) -> Published:
    """The facts of a backup that counts."""
    assert backup.counts, f"{backup.id} is {backup.state}"
    assert backup.finished_at is not None, f"{backup.id} has no end"
    assert backup.size_bytes is not None, f"{backup.id} has no size"
    return Published(
        backup.id,
        backup.database,
        backup.kind,
        backup.started_at,
        backup.finished_at,
        backup.size_bytes,
    )


def kinds_of(subject: str) -> tuple[Kind, ...]:
    """The kinds of backup that a subject can have."""
    return ("base",) if subject.startswith("@") else LOGICAL


def subject_of_cluster(cluster: str) -> str:
    """What a cluster's base backups and WAL are filed under; no database can be called so."""
    return f"@{cluster}"


def new_id(kind: Kind, now: datetime) -> str:
    """A name that sorts by time and differs from one made in the same second."""
    return f"{now:%Y%m%dT%H%M%SZ}-{kind}-{secrets.token_hex(3)}"


def kind_in(name: str) -> Kind | None:
    """The kind that an id names; None when `name` is not an id."""
    match = _ID.fullmatch(name)
    return next((kind for kind in KINDS if match and match.group(1) == kind), None)
