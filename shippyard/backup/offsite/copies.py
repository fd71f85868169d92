"""Owns the table of copies: which backup has one, in which place, and what became of it.

The store is the truth of copies; what it shows is taken in again when the table was lost.
"""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import delete, insert, select

from shippyard.backup.model import Backup, Kind
from shippyard.backup.offsite.offsite import Copy
from shippyard.backup.offsite.parts import Index
from shippyard.state.database import State
from shippyard.state.tables import copies

CopyState = Literal["uploading", "verified", "expired", "deleted", "failed"]


@dataclass(frozen=True)
class CopyRecord:
    """What is known of one copy. `started_at` is when the backup itself was started.

    `error` says why it failed, or why it is still there: `kept by the bucket until …`.
    """

    backup_id: str
    place: str
    state: CopyState
    database: str
    kind: Kind
    started_at: datetime
    size_bytes: int | None = None
    verified_at: datetime | None = None
    key_ids: tuple[str, ...] = ()
    error: str | None = None


class Copies:
    """The copies in one place."""

    def __init__(self, state: State, place: str) -> None:
        self._state = state
        self._place = place

    def all(self) -> list[CopyRecord]:
        """Every copy there is or was, newest backup first."""
        columns = [copies.c[field.name] for field in fields(CopyRecord)]
        question = (
            select(*columns)
            .where(copies.c.place == self._place)
            .order_by(copies.c.started_at.desc(), copies.c.backup_id.desc())
        )
        with self._state.read() as connection:
            return [_record(dict(row)) for row in connection.execute(question).mappings()]

    def get(self, backup_id: str) -> CopyRecord | None:
        """The copy of one backup, or None."""
        return next((record for record in self.all() if record.backup_id == backup_id), None)

    def put(self, record: CopyRecord) -> CopyRecord:
        """Remember what became of a copy, whatever was known; gives it back."""
        this = (copies.c.backup_id == record.backup_id) & (copies.c.place == self._place)
        values: dict[str, Any] = asdict(record) | {"key_ids": list(record.key_ids)}
        with self._state.write() as connection:
            connection.execute(delete(copies).where(this))
            connection.execute(insert(copies).values(**values))
        return record


def begun(backup: Backup, place: str, key_ids: tuple[str, ...]) -> CopyRecord:
    """A copy that is being made."""
    return CopyRecord(
        backup.id,
        place,
        "uploading",
        backup.database,
        backup.kind,
        backup.started_at,
        key_ids=key_ids,
    )


def verified(copy: Copy) -> CopyRecord:
    """A copy that was read back."""
    return CopyRecord(
        copy.backup_id,
        copy.place,
        "verified",
        copy.database,
        copy.kind,
        copy.started_at,
        copy.stored_bytes,
        copy.verified_at,
        copy.key_ids,
    )


def found(index: Index, place: str) -> CopyRecord:
    """A copy that the store shows: it was read back before its manifest was put there."""
    return CopyRecord(
        index.id,
        place,
        "verified",
        index.database,
        index.kind,
        index.started_at.astimezone(UTC),
        index.stored_bytes,
        index.copied_at.astimezone(UTC),
        index.key_ids,
    )


def _record(row: dict[str, Any]) -> CopyRecord:
    return CopyRecord(**(row | {"key_ids": tuple(row["key_ids"])}))
