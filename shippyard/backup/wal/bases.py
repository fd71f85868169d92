"""Owns which base backups there are, and their manifests, for whoever asks what WAL they need.

What counts is scanned for; WAL is deleted only when nothing that is here, or may come back, needs
it: a backup that can't be read or believed today may be good again tomorrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import COUNTED, Backup, kind_in
from shippyard.backup.seal import Seal

_SETTLED = COUNTED | {"missing", "damaged", "expired"}
"""Of these the catalog says what became of them; a folder of any other row is a stranger."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Base:
    """A base backup that WAL is kept for; `wal_first` is None where nobody knows what it needs."""

    id: str
    wal_first: str | None


class KeptBases:
    """Manifests by subject. One that can't be read now is remembered from when it could."""

    def __init__(self, catalog: Catalog, layout: Layout, seal: Seal) -> None:
        self._catalog = catalog
        self._layout = layout
        self._seal = seal
        self._known: dict[str, dict[str, Manifest]] = {}

    def __call__(self, subject: str) -> list[Manifest]:
        """The base backups of a subject that count, newest first."""
        before = self._known.get(subject, {})
        found = {}
        for backup in self._catalog.published(subject, "base"):
            manifest = before.get(backup.id) or self._read(subject, backup.id)
            if manifest:
                found[backup.id] = manifest
        self._known[subject] = found
        return list(found.values())

    def that_may_need(self, subject: str, *, since: datetime) -> Sequence[Base]:
        """Those that count, or went missing or bad `since`; and strangers, whose needs are unknown.

        Raises:
            OSError: the folder can't be read.
        """
        rows = {row.id: row for row in self._catalog.all(subject) if row.kind == "base"}
        known = [row for row in rows.values() if row.counts or _may_come_back(row, since)]
        settled = {row.id for row in rows.values() if row.state in _SETTLED}
        there = {name for name in self._layout.published(subject) if kind_in(name) == "base"}
        strangers = sorted(there - settled)
        if strangers:
            log.warning("wal.kept_for_strangers", subject=subject, backups=strangers)
        return [
            *(Base(row.id, self._first_of(row)) for row in known),
            *(Base(name, None) for name in strangers),
        ]

    def _first_of(self, row: Backup) -> str | None:
        return (self._catalog.document(row.id) or {}).get("wal_first")

    def _read(self, subject: str, backup_id: str) -> Manifest | None:
        try:
            return self._seal.read(self._layout.folder(subject, backup_id))
        except ManifestUnusable as error:
            log.warning("wal.base_unreadable", backup=backup_id, reason=str(error))
            return None


def _may_come_back(row: Backup, since: datetime) -> bool:
    return row.state in ("missing", "damaged") and row.started_at >= since
