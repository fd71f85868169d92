"""Owns joining what brings backups back: drills in a sandbox, and restores that are asked for."""

from functools import partial

from shippyard.backup.drill.service import Drills
from shippyard.backup.engines.choice import repository_for
from shippyard.backup.manifest import Manifest
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.restore import methods as restore_methods
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.dumps import IntoDatabase
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.handback import SERVER_USER
from shippyard.backup.restore.service import Restores
from shippyard.backup.restore.shelf import FolderShelf, Shelves
from shippyard.backup.restore.stores import StoreShelf
from shippyard.backup.seal import Seal
from shippyard.backup.service import BackupService
from shippyard.control.method import Method
from shippyard.postgres.target import target_of
from shippyard.safekeeping.ground import Ground
from shippyard.safekeeping.wal import KeptWal
from shippyard.sandbox.local import LocalHost

SANDBOX_FOLDER = ".sandbox"


def drills_of(
    ground: Ground, offsite: Offsite | None, backups: BackupService, wal: KeptWal
) -> Drills:
    """Drills in sandboxes on this machine."""
    sandbox = LocalHost(
        ground.config.backup.sandbox,
        ground.processes,
        ground.clock,
        ground.config.backup.dir / SANDBOX_FOLDER,
    )
    return Drills(
        ground.config,
        processes=ground.processes,
        state=ground.state,
        metrics=ground.metrics,
        clock=ground.clock,
        tell=ground.tell,
        backups=backups,
        host=sandbox,
        wal_of=wal.source,
        offsite=offsite,
        targets=ground.targets,
        arrivals=wal.arrivals,
    )


def restore_methods_of(
    ground: Ground, drills: Drills, seal: Seal, offsite: Offsite | None
) -> list[Method]:
    """What the socket answers about restores."""
    config = ground.config
    here = FolderShelf(config.backup.dir, seal.trusted)
    means = Means(
        shelf=Shelves([here, StoreShelf(offsite)]) if offsite else here,
        place=str(config.backup.dir),
        processes=ground.processes,
        clock=ground.clock,
        jobs=config.backup.dump.jobs,
        timeout_s=config.backup.timeout_s,
        digest_timeout_s=config.backup.dump.digest_timeout_s,
        tools_dirs=config.tools_dirs,
        repository_of=lambda subject: repository_for(subject, config, ground.processes),
        forecast=partial(_forecast, drills),
    )
    return restore_methods.build(
        Restores(means, ground.tell),
        config,
        {each.name: target_of(each, each.migrator or each.backup) for each in config.databases},
        into_database=lambda target: IntoDatabase(target, means),
        into_folder=lambda folder: IntoFolder(folder, means, heir=SERVER_USER),
    )


def _forecast(drills: Drills, manifest: Manifest) -> float | None:
    return drills.forecast(manifest.database, manifest.kind, manifest.size_bytes)
