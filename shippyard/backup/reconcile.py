"""Owns making the catalog and the disk agree after a crash. Manifests on disk win.

Run at start. What another process is making right now is left alone: its lock is held.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import structlog

from shippyard.backup.catalog import Catalog, Overtaken
from shippyard.backup.layout import Layout
from shippyard.backup.lock import HOUSEKEEPING, Busy, exclusive
from shippyard.backup.manifest import Manifest, ManifestUnusable
from shippyard.backup.model import (
    COUNTED,
    UNFINISHED,
    Backup,
    Kind,
    kind_in,
    kinds_of,
    moved,
    settled,
)
from shippyard.backup.seal import Seal
from shippyard.backup.verify import absent_files
from shippyard.postgres.session import one_line

log = structlog.get_logger(__name__)

# A row in one of these states yields to a whole, published folder of the same id.
ADOPTABLE = UNFINISHED | {"failed", "missing"}


@dataclass(frozen=True)
class Reconciled:
    """What had to be changed: ids of backups, oldest first.

    Of the adopted ones, `unknown` were not in the catalog at all: it was lost, or is another's.
    """

    adopted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noticed:
    """What a look at the disk found; `unseen` maps a database to why it can't be looked at."""

    missing: tuple[Backup, ...] = ()
    returned: tuple[Backup, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)


def reconcile(catalog: Catalog, layout: Layout, seal: Seal) -> Reconciled:
    """End what a dead daemon left behind, and take in what it published without recording."""
    deleted = _finish_what_can_be(catalog, layout)
    noticed = notice(catalog, layout, seal)
    databases = {*_databases_on_disk(layout), *(b.database for b in catalog.unfinished())}
    parts = [
        _reconcile_kind(catalog, layout, seal, database, kind)
        for database in sorted(databases)
        for kind in kinds_of(database)
    ]
    done = Reconciled(
        adopted=tuple(i for part in parts for i in part.adopted),
        unknown=tuple(i for part in parts for i in part.unknown),
        failed=tuple(i for part in parts for i in part.failed),
        swept=tuple(i for part in parts for i in part.swept),
        missing=tuple(b.id for b in noticed.missing),
        returned=tuple(b.id for b in noticed.returned),
        deleted=tuple(deleted),
    )
    log.info("backup.reconciled", **vars(done))
    return done


def notice(catalog: Catalog, layout: Layout, seal: Seal) -> Noticed:
    """Stop counting published backups whose files are gone or cut; count again what is back.

    Where the database's folder itself can't be read nothing is known, and nothing is changed.
    """
    looked_at = catalog.in_states(COUNTED | {"missing"})
    databases = {backup.database for backup in looked_at}
    unseen = {name: why for name in sorted(databases) if (why := layout.unseen(name))}
    found = [_settle(catalog, layout, seal, b) for b in looked_at if b.database not in unseen]
    changed = [backup for backup in found if backup]
    return Noticed(
        missing=tuple(b for b in changed if not b.counts),
        returned=tuple(b for b in changed if b.counts),
        unseen=unseen,
    )


def returned(backup: Backup) -> Backup:
    """A backup that is whole again, standing where it stood."""
    return replace(settled(backup), error=None)


def finish_deletions(catalog: Catalog, layout: Layout) -> list[str]:
    """Delete what is marked expired; gives the ids. Goes on where it was interrupted.

    What can't be seen stays marked: its files may come back.
    """
    deleted = []
    for backup in catalog.in_states({"expired"}):
        if layout.unseen(backup.database):
            continue
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
        log.error("backup.delete_failed", reason=one_line(error))
        return []


def _databases_on_disk(layout: Layout) -> list[str]:
    try:
        return layout.databases()
    except OSError as error:
        log.error("backup.root_unreadable", path=str(layout.root), reason=one_line(error))
        return []


def _reconcile_kind(
    catalog: Catalog, layout: Layout, seal: Seal, database: str, kind: Kind
) -> Reconciled:
    """One database and kind, unless somebody is making one right now."""
    try:
        layout.prepare(database, catalog.relied_on())
        with exclusive(layout.lock(database, kind), HOUSEKEEPING) as left:
            if left:
                # The lock itself went with its holder.
                log.warning("backup.lock_left", database=database, kind=kind, held_by=left)
            layout.sweep_halves(database)
            adopted = tuple(_adopt(catalog, layout, seal, database, kind))
            return Reconciled(
                adopted=tuple(backup_id for backup_id, _ in adopted),
                unknown=tuple(backup_id for backup_id, was_known in adopted if not was_known),
                failed=tuple(_fail_unfinished(catalog, database, kind)),
                swept=tuple(_sweep(layout, database, kind)),
            )
    except Busy as busy:
        log.info("backup.reconcile_skipped", database=database, kind=kind, held_by=str(busy))
    except OSError as error:
        log.error("backup.reconcile_failed", database=database, kind=kind, reason=one_line(error))
    return Reconciled()


def _adopt(
    catalog: Catalog, layout: Layout, seal: Seal, database: str, kind: Kind
) -> Iterator[tuple[str, bool]]:
    """Ids of what was taken in, and whether the catalog knew of an attempt."""
    for backup_id in layout.published(database):
        known = catalog.get(backup_id)
        if kind_in(backup_id) != kind or (known and known.state not in ADOPTABLE):
            continue
        if manifest := _whole(layout, seal, database, backup_id):
            catalog.adopt(manifest)
            yield backup_id, known is not None


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


def _whole(layout: Layout, seal: Seal, database: str, backup_id: str) -> Manifest | None:
    """The manifest of a folder whose files are all there, else None and a line in the log."""
    folder = layout.folder(database, backup_id)
    try:
        manifest = seal.read(folder)
        problems = absent_files(folder, manifest)
    except ManifestUnusable as error:
        problems = [one_line(error)]
    else:
        if not problems:
            return manifest
    log.warning("backup.not_adopted", path=str(folder), reason=problems[0])
    return None


def _settle(catalog: Catalog, layout: Layout, seal: Seal, backup: Backup) -> Backup | None:
    """The backup as it is from now on, when that changed."""
    problem = _absence(layout, seal, backup)
    if backup.counts == (problem is None):
        return None
    after = moved(backup, "missing", f"missing: {problem}") if problem else returned(backup)
    try:
        catalog.move(backup, after)
    except Overtaken:
        return None
    if problem:
        log.error("backup.missing", id=backup.id, database=backup.database, problem=problem)
    else:
        log.info("backup.returned", id=backup.id, database=backup.database)
    return after


def _absence(layout: Layout, seal: Seal, backup: Backup) -> str | None:
    folder = layout.folder(backup.database, backup.id)
    try:
        problems = absent_files(folder, seal.read(folder))
    except ManifestUnusable as error:
        return str(error)
    return problems[0] if problems else None
