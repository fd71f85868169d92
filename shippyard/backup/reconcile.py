"""Owns making the catalog and the disk agree after a crash. Manifests on disk win.

Run at start. What another process is making right now is left alone: its lock is held.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.manifest import Manifest, ManifestUnusable, read_manifest
from shippyard.backup.model import COUNTED, KINDS, UNFINISHED, Backup, Kind, kind_in, moved
from shippyard.backup.verify import absent_files

log = structlog.get_logger(__name__)

# A row in one of these states yields to a whole, published folder of the same id.
ADOPTABLE = UNFINISHED | {"failed", "missing"}


@dataclass(frozen=True)
class Reconciled:
    """What had to be changed: ids of backups, oldest first."""

    adopted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def reconcile(catalog: Catalog, layout: Layout) -> Reconciled:
    """End what a dead daemon left behind, and take in what it published without recording."""
    deleted = _finish_what_can_be(catalog, layout)
    missing = notice_missing(catalog, layout)
    databases = {*layout.databases(), *(b.database for b in catalog.unfinished())}
    parts = [
        _reconcile_kind(catalog, layout, database, kind)
        for database in sorted(databases)
        for kind in KINDS
    ]
    done = Reconciled(
        adopted=tuple(i for part in parts for i in part.adopted),
        failed=tuple(i for part in parts for i in part.failed),
        swept=tuple(i for part in parts for i in part.swept),
        missing=tuple(b.id for b in missing),
        deleted=tuple(deleted),
    )
    log.info("backup.reconciled", **vars(done))
    return done


def notice_missing(catalog: Catalog, layout: Layout) -> list[Backup]:
    """Stop counting published backups whose files are gone or cut; gives those."""
    missing = []
    for backup in catalog.in_states(COUNTED):
        if problem := _absence(layout, backup):
            with contextlib.suppress(Overtaken):
                after = moved(backup, "missing", f"missing: {problem}")
                missing.append(catalog.move(backup, after))
            log.error("backup.missing", id=backup.id, database=backup.database, problem=problem)
    return missing


def finish_deletions(catalog: Catalog, layout: Layout) -> list[str]:
    """Delete what is marked expired; gives the ids. Goes on where it was interrupted."""
    deleted = []
    for backup in catalog.in_states({"expired"}):
        layout.remove(backup.database, backup.id)
        catalog.move(backup, moved(backup, "deleted"))
        log.info("backup.deleted", id=backup.id, database=backup.database, kind=backup.kind)
        deleted.append(backup.id)
    return deleted


def _finish_what_can_be(catalog: Catalog, layout: Layout) -> list[str]:
    """A folder that can't be deleted must not keep the daemon from starting."""
    try:
        return finish_deletions(catalog, layout)
    except OSError as error:
        log.error("backup.delete_failed", reason=str(error))
        return []


def _reconcile_kind(catalog: Catalog, layout: Layout, database: str, kind: Kind) -> Reconciled:
    """One database and kind, unless somebody is making one right now."""
    try:
        layout.prepare(database)
        with exclusive(layout.lock(database, kind), "looking for leftovers"):
            return Reconciled(
                adopted=tuple(_adopt(catalog, layout, database, kind)),
                failed=tuple(_fail_unfinished(catalog, database, kind)),
                swept=tuple(_sweep(layout, database, kind)),
            )
    except Busy as busy:
        log.info("backup.reconcile_skipped", database=database, kind=kind, held_by=str(busy))
    except OSError as error:
        log.error("backup.reconcile_failed", database=database, kind=kind, reason=str(error))
    return Reconciled()


def _adopt(catalog: Catalog, layout: Layout, database: str, kind: Kind) -> Iterator[str]:
    for backup_id in layout.published(database):
        known = catalog.get(backup_id)
        if kind_in(backup_id) != kind or (known and known.state not in ADOPTABLE):
            continue
        if manifest := _whole(layout, database, backup_id):
            catalog.adopt(manifest)
            yield backup_id


def _fail_unfinished(catalog: Catalog, database: str, kind: Kind) -> Iterator[str]:
    for backup in reversed(catalog.unfinished()):
        if (backup.database, backup.kind) == (database, kind):
            error = f"the daemon died while it was {backup.state}"
            yield catalog.move(backup, moved(backup, "failed", error)).id


def _sweep(layout: Layout, database: str, kind: Kind) -> Iterator[str]:
    for backup_id in layout.partials(database):
        if kind_in(backup_id) == kind:
            # Only the hidden half: a published folder of the same id is another matter.
            layout.remove_partial(database, backup_id)
            yield backup_id


def _whole(layout: Layout, database: str, backup_id: str) -> Manifest | None:
    """The manifest of a folder whose files are all there, else None and a line in the log."""
    folder = layout.folder(database, backup_id)
    with contextlib.suppress(ManifestUnusable):
        manifest = read_manifest(folder)
        if not absent_files(folder, manifest):
            return manifest
    log.warning("backup.not_adopted", path=str(folder), reason="no manifest, or files differ")
    return None


def _absence(layout: Layout, backup: Backup) -> str | None:
    folder = layout.folder(backup.database, backup.id)
    try:
        problems = absent_files(folder, read_manifest(folder))
    except ManifestUnusable as error:
        return str(error)
    return problems[0] if problems else None
