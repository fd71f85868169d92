"""Owns the table of backups: what is known of each, changed only by compare-and-set.

Manifests on disk are the truth of published backups; `adopt` takes their word. Knows no files.
"""

from collections.abc import Collection
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from shippyard.backup.history import as_manifested
from shippyard.backup.manifest import Manifest, document_of
from shippyard.backup.model import COUNTED, UNFINISHED, Backup, BackupState, Kind, advance
from shippyard.state.database import State
from shippyard.state.tables import backups

_COLUMNS = [backups.c[field.name] for field in fields(Backup)]
_NEWEST_FIRST = (backups.c.started_at.desc(), backups.c.id.desc())


class Overtaken(Exception):
    """Someone else changed the backup's state first."""


class Catalog:
    """What is known of every backup."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, backup: Backup) -> None:
        """Remember a new attempt."""
        with self._state.write() as connection:
            connection.execute(insert(backups).values(**asdict(backup)))

    def move(self, before: Backup, after: Backup, manifest: Manifest | None = None) -> Backup:
        """Replace `before` by `after`, if nobody changed its state in between; gives `after`.

        Who holds it is left as it is: that changes by `let_go` alone.

        Raises:
            IllegalTransition: the table of states has no such step.
            Overtaken: it is no longer in `before`'s state.
        """
        advance(before.state, after.state)
        values: dict[str, Any] = asdict(after)
        del values["held_by"]
        if manifest:
            values["manifest"] = document_of(manifest)
        unchanged = (backups.c.id == before.id) & (backups.c.state == before.state)
        with self._state.write() as connection:
            if connection.execute(update(backups).where(unchanged).values(**values)).rowcount != 1:
                raise Overtaken(f"{before.id} is no longer {before.state}")
        return after

    def expire(self, backup: Backup) -> Backup:
        """Mark it to be deleted, if nobody changed or held it since it was judged.

        Raises:
            IllegalTransition: it does not count.
            Overtaken: its state changed, or somebody holds it now.
        """
        state = advance(backup.state, "expired")
        free = backups.c.held_by.is_(None) & (backups.c.state == backup.state)
        with self._state.write() as connection:
            mine = (backups.c.id == backup.id) & free
            if connection.execute(update(backups).where(mine).values(state=state)).rowcount != 1:
                raise Overtaken(f"{backup.id} is no longer {backup.state}, or is held")
        return replace(backup, state=state)

    def let_go(self, held: Backup) -> bool:
        """Nobody holds it any more; False when the hold changed since it was read."""
        unchanged = (backups.c.id == held.id) & (backups.c.held_by == held.held_by)
        with self._state.write() as connection:
            changed = connection.execute(update(backups).where(unchanged).values(held_by=None))
            return changed.rowcount == 1

    def hold(self, free: Backup, by: str) -> bool:
        """Keep a backup from retention; False when somebody holds it, or it no longer counts."""
        mine = (backups.c.id == free.id) & backups.c.held_by.is_(None)
        with self._state.write() as connection:
            unchanged = mine & backups.c.state.in_(COUNTED)
            changed = connection.execute(update(backups).where(unchanged).values(held_by=by))
            return changed.rowcount == 1

    def mark(self, before: Backup, after: Backup) -> Backup:
        """Note a copy or a drill of a backup that counts, and the state it stands in by that.

        Raises:
            IllegalTransition: the table of states has no such step.
            Overtaken: its state changed meanwhile.
        """
        if before.state != after.state:
            advance(before.state, after.state)
        values = {
            "state": after.state,
            "replicated_at": after.replicated_at,
            "drilled_at": after.drilled_at,
        }
        unchanged = (backups.c.id == before.id) & (backups.c.state == before.state)
        with self._state.write() as connection:
            if connection.execute(update(backups).where(unchanged).values(**values)).rowcount != 1:
                raise Overtaken(f"{before.id} is no longer {before.state}")
        return after

    def keep_document(self, manifest: Manifest) -> None:
        """Remember a manifest that was written anew, if its backup is known."""
        mine = backups.c.id == manifest.id
        with self._state.write() as connection:
            values = {"manifest": document_of(manifest)}
            connection.execute(update(backups).where(mine).values(**values))

    def adopt(self, manifest: Manifest) -> Backup:
        """Take a backup found on disk for published, whatever was known of its attempt.

        Only the hold is believed of the row, if there is one: it may have been let go while the
        manifest could not be written.
        """
        known = self.get(manifest.id)
        backup = as_manifested(manifest)
        if known:
            backup = replace(backup, held_by=known.held_by)
        self.put(backup, manifest)
        return backup

    def put(self, backup: Backup, manifest: Manifest) -> None:
        """Replace all that is known of a backup by what its manifest says."""
        with self._state.write() as connection:
            connection.execute(delete(backups).where(backups.c.id == manifest.id))
            values = asdict(backup) | {"manifest": document_of(manifest)}
            connection.execute(insert(backups).values(**values))

    def get(self, backup_id: str) -> Backup | None:
        """The backup with this id, or None."""
        found = self._select(backups.c.id == backup_id)
        return found[0] if found else None

    def document(self, backup_id: str) -> dict[str, Any] | None:
        """The manifest as it was recorded; None before there was one."""
        with self._state.read() as connection:
            question = select(backups.c.manifest).where(backups.c.id == backup_id)
            document: dict[str, Any] | None = connection.execute(question).scalar()
            return document

    def all(self, database: str | None = None) -> list[Backup]:
        """Every attempt, of one database or of all, newest first."""
        return self._select(*([backups.c.database == database] if database else []))

    def in_states(self, states: Collection[BackupState]) -> list[Backup]:
        """Backups in any of `states`, newest first."""
        return self._select(backups.c.state.in_(states))

    def published(self, database: str, kind: Kind) -> list[Backup]:
        """Backups that count, newest first."""
        return self._select(
            backups.c.database == database,
            backups.c.kind == kind,
            backups.c.state.in_(COUNTED),
        )

    def newest_published(self, database: str, kind: Kind) -> Backup | None:
        """The newest backup that counts, or None."""
        found = self.published(database, kind)
        return found[0] if found else None

    def relied_on(self) -> frozenset[str]:
        """Subjects with a backup that counts."""
        return frozenset(backup.database for backup in self.in_states(COUNTED))

    def held(self, database: str) -> list[Backup]:
        """Backups of a database that somebody holds, whatever became of them, newest first."""
        return self._select(backups.c.database == database, backups.c.held_by.is_not(None))

    def unfinished(self) -> list[Backup]:
        """Attempts that nobody has ended yet."""
        return self.in_states(UNFINISHED)

    def _select(self, *conditions: Any) -> list[Backup]:
        question = select(*_COLUMNS).where(*conditions).order_by(*_NEWEST_FIRST)
        with self._state.read() as connection:
            return [_backup_of(row) for row in connection.execute(question).mappings()]


def _backup_of(row: RowMapping) -> Backup:
    return Backup(**row)
