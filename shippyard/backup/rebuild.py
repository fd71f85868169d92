"""Owns making the catalog again from manifests alone, and what stands still until it is trusted.

When backups are found that the catalog never heard of, it was lost: what was held or being deleted
is known from manifests only. Then nothing is deleted until a person has looked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from shippyard.backup.catalog import Catalog
from shippyard.backup.history import as_manifested
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import Backup
from shippyard.backup.seal import Seal
from shippyard.backup.verify import absent_files
from shippyard.state.notes import Notes

FROZEN = "backup.frozen"
CONFIRM = "shippyard ctl backup prune --confirm-catalogue"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Found:
    """One folder with a backup, and what a rebuild makes of it.

    `refused` ones can't be relied on: `why` says so. `state` is what it is by its manifest.
    """

    id: str
    database: str
    change: Literal["added", "changed", "kept", "refused"]
    why: str = ""
    state: str | None = None
    held_by: str | None = None
    drilled_at: datetime | None = None


class Rebuild:
    """Reads every manifest on disk. Manifests win over the catalog, but for deletions under way."""

    def __init__(self, catalog: Catalog, layout: Layout, seal: Seal, notes: Notes) -> None:
        self._catalog = catalog
        self._layout = layout
        self._seal = seal
        self._notes = notes

    def look(self, *, apply: bool) -> list[Found]:
        """What the manifests say, oldest first; with `apply`, the catalog says the same after.

        Raises:
            OSError: the folder can't be read.
        """
        return [
            self._judge(subject, backup_id, apply=apply)
            for subject in self._layout.databases()
            for backup_id in self._layout.published(subject)
        ]

    def freeze(self, unknown: tuple[str, ...], at: datetime) -> None:
        """Delete nothing from now on: these backups were found, and nobody knew of them."""
        if unknown and self.frozen() is None:
            self._notes.write(FROZEN, {"unknown": len(unknown)}, at)
            log.error("backup.retention_frozen", unknown=len(unknown), until=CONFIRM)

    def frozen(self) -> str | None:
        """Why nothing may be deleted, in one line; None when deleting is fine."""
        noted = self._notes.read(FROZEN)
        if noted is None:
            return None
        return (
            f"{noted['unknown']} backups were found on disk that the catalog did not know of; "
            f"see that the list is right, then run: {CONFIRM}"
        )

    def confirm(self) -> bool:
        """A person says that the catalog is right; False when nobody had doubted it."""
        confirmed = self._notes.remove(FROZEN)
        if confirmed:
            log.warning("backup.catalog_confirmed")
        return confirmed

    def _judge(self, subject: str, backup_id: str, *, apply: bool) -> Found:
        try:
            manifest = self._whole(subject, backup_id)
        except ManifestUnusable as error:
            return Found(backup_id, subject, "refused", str(error))
        known, should_be = self._catalog.get(backup_id), as_manifested(manifest)
        differences = list(_differences(known, should_be))
        if apply and differences:
            self._catalog.put(should_be, manifest)
        return Found(
            backup_id,
            subject,
            "kept" if not differences else "changed" if known else "added",
            ", ".join(differences) if known else "",
            should_be.state,
            should_be.held_by,
            should_be.drilled_at,
        )

    def _whole(self, subject: str, backup_id: str) -> Manifest:
        folder = self._layout.folder(subject, backup_id)
        manifest = self._seal.read(folder)
        if absent := absent_files(folder, manifest):
            raise ManifestUnusable(absent[0])
        return manifest


def _differences(known: Backup | None, should_be: Backup) -> Iterator[str]:
    """In words; what is marked to be deleted stays so."""
    if known is None:
        yield "unknown"
    elif known.state != "expired":
        for name in ("state", "held_by", "replicated_at", "drilled_at", "parent", "size_bytes"):
            before, after = getattr(known, name), getattr(should_be, name)
            if before != after:
                yield f"{name} was {before}, is {after}"
