"""Owns reading what is known of backups: rows, manifests, folders and chains. Changes nothing."""

from pathlib import Path
from typing import Any

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import Backup, BackupFailed, BackupUnknown
from shippyard.backup.seal import Seal

CHAIN_MAX = 1000


class Records:
    """What may be read by anybody, at any time, from any thread."""

    def __init__(self, catalog: Catalog, layout: Layout, seal: Seal) -> None:
        self._catalog = catalog
        self._layout = layout
        self._seal = seal

    def history(self, subject: str | None = None) -> list[Backup]:
        """Every attempt that is remembered, newest first."""
        return self._catalog.all(subject)

    def find(self, backup_id: str) -> Backup:
        """The backup with this id.

        Raises:
            BackupUnknown: there is none.
        """
        backup = self._catalog.get(backup_id)
        if backup is None:
            raise BackupUnknown(f"no backup {backup_id}; see `shippyard ctl backup list --all`")
        return backup

    def manifest(self, backup_id: str) -> dict[str, Any] | None:
        """The manifest as it was recorded; None when the attempt never had one."""
        return self._catalog.document(backup_id)

    def path(self, backup: Backup) -> Path:
        """Where the backup's files are, or were."""
        return self._layout.folder(backup.database, backup.id)

    def folder_of(self, backup_id: str) -> Path:
        """Where a backup's files are, or were.

        Raises:
            BackupFailed: no such backup.
        """
        return self.path(self.find(backup_id))

    def manifest_of(self, backup_id: str) -> Manifest:
        """The manifest beside the files, its signature checked.

        Raises:
            BackupFailed: no such backup, or no manifest that can be trusted.
        """
        try:
            return self._seal.read(self.folder_of(backup_id))
        except ManifestUnusable as error:
            raise BackupFailed(f"{backup_id} can't be relied on: {error}") from None

    def chain_of(self, backup_id: str) -> list[Manifest]:
        """A backup's manifest after those of all its parents, oldest first.

        Raises:
            BackupFailed: one of them is not there, does not count or can't be trusted.
        """
        chain: list[Manifest] = []
        needed: str | None = backup_id
        while needed is not None:
            if len(chain) == CHAIN_MAX:
                raise BackupFailed(f"{backup_id} has more than {CHAIN_MAX} parents")
            link = self.find(needed)
            if not link.counts:
                raise BackupFailed(f"{backup_id} needs {link.id}, which is {link.state}")
            chain.append(self.manifest_of(needed))
            needed = chain[-1].parent
        return chain[::-1]
