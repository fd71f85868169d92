"""Owns the manifests of the base backups that count, for whoever asks what WAL they need."""

import structlog

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.seal import Seal

log = structlog.get_logger(__name__)


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

    def _read(self, subject: str, backup_id: str) -> Manifest | None:
        try:
            return self._seal.read(self._layout.folder(subject, backup_id))
        except ManifestUnusable as error:
            log.warning("wal.base_unreadable", backup=backup_id, reason=str(error))
            return None
