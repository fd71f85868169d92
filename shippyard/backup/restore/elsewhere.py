"""Owns base backups that another engine keeps: their files laid out by it, their WAL fetched by it.

What comes of that is held against our own record like any other: whose WAL it is, where recovery
begins and ends, that no tablespace is where production has it. Knows no engine by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shippyard.backup.engines.base_manifest import (
    LABEL_NAME,
    BaseManifestUnusable,
    parse_label,
)
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.engines.repository import Repository
from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.coverage import segment_bytes
from shippyard.backup.restore.physical import (
    SETTINGS,
    LaidOut,
    RestoreRefused,
    WalUnusable,
    content_of,
    empty,
)
from shippyard.backup.restore.unpack import (
    FOLDER_MODE,
    LEFT_OUT,
    PARENT_MODE,
    TABLESPACES,
    give,
    make_parents,
    owner_of,
)
from shippyard.backup.wal.names import parse_lsn

RepositoryOf = Callable[[str], Repository | None]
"""Gives what keeps the base backups and WAL of a subject; None when that is ourselves."""


@dataclass(frozen=True)
class RepositoryWal:
    """Implements `WalSource` over a repository, for the cluster that is laid out in `data_dir`.

    What there is was listed once, when it was first asked for: one recovery has one plan.
    """

    repository: Repository
    data_dir: Path

    @cached_property
    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(self.repository.segments())
        except EngineFailed as error:
            raise WalUnusable(str(error)) from None

    def segments(self) -> Sequence[str]:
        """See `WalSource`."""
        return self._names

    def fetch(self, name: str, into: Path) -> bool:
        """See `WalSource`."""
        if name not in self._names:
            return False
        try:
            self.repository.fetch(name, into, self.data_dir)
        except EngineFailed as error:
            raise WalUnusable(f"{name}: {error}") from None
        return True


def repository_holding(manifest: Manifest, repository_of: RepositoryOf) -> Repository | None:
    """What keeps the files of a backup; None when they lie beside its manifest.

    Raises:
        RestoreRefused: another engine has them, and the configuration no longer says where.
    """
    if manifest.external is None:
        return None
    found = repository_of(manifest.database)
    if found is None or found.name != manifest.made.engine:
        raise RestoreRefused(
            f"{manifest.id} is {manifest.external} in the repository of {manifest.made.engine}, "
            f"which the configuration does not name: set engine and stanza of "
            f"[backup.clusters.{manifest.database.removeprefix('@')}], or restore it with "
            f"{manifest.made.engine} itself"
        )
    return found


def lay_out_elsewhere(
    repository: Repository,
    manifest: Manifest,
    data_dir: Path,
    tablespaces: Path,
    *,
    account: str | None,
) -> LaidOut:
    """Have the engine write a base backup into `data_dir`, every tablespace below `tablespaces`.

    Raises:
        RestoreRefused: a folder is not empty, the engine refused, or what it wrote is not the
            backup that was asked for. What was written is taken away again.
    """
    for folder in (data_dir, tablespaces):
        if there := content_of(folder):
            raise RestoreRefused(f"{folder} is not empty: {there}; give an empty folder")
    was_there = tablespaces.is_dir()
    try:
        for folder in (data_dir, tablespaces):
            make_parents(folder)
            folder.mkdir(exist_ok=True)
            folder.chmod(FOLDER_MODE if folder == data_dir else PARENT_MODE)
        repository.lay_out(manifest.external or "", data_dir, tablespaces)
        for folder in (data_dir, tablespaces):
            give(folder, owner_of(account))
        laid = _looked_at(manifest, data_dir, tablespaces)
    except BaseException as error:
        empty([data_dir, tablespaces])
        if isinstance(error, EngineFailed | BaseManifestUnusable | OSError):
            raise RestoreRefused(f"{manifest.id}: {error}") from None
        raise
    if not laid.tablespaces and not was_there:
        tablespaces.rmdir()
    return laid


def _looked_at(manifest: Manifest, data_dir: Path, tablespaces: Path) -> LaidOut:
    """What was laid out, when it is the backup of our record and points nowhere else."""
    label = parse_label((data_dir / LABEL_NAME).read_text(errors="replace"))
    if label.segment != manifest.wal_first:
        raise RestoreRefused(
            f"{manifest.id}: recovery of what was laid out begins in {label.segment}, and "
            f"{manifest.external} began in {manifest.wal_first}"
        )
    return LaidOut(
        data_dir=data_dir,
        tablespaces=_tablespaces(data_dir, tablespaces),
        timeline=int(label.segment[:8], 16),
        lsn_at_start=parse_lsn(label.lsn),
        lsn_at_end=parse_lsn(manifest.source.lsn_at_end or label.lsn),
        segment_bytes=segment_bytes(manifest),
        system_identifier=manifest.source.system_identifier,
        wal=(),
        size_bytes=sum(p.lstat().st_size for d in (data_dir, tablespaces) for p in d.rglob("*")),
        dropped=_dropped(data_dir),
        has_settings=(data_dir / SETTINGS).is_file(),
    )


def _tablespaces(data_dir: Path, allowed: Path) -> dict[str, Path]:
    links = sorted((data_dir / TABLESPACES).iterdir())
    found = {link.name: link.resolve() for link in links}
    strays = [oid for oid, path in found.items() if not path.is_relative_to(allowed.resolve())]
    if strays:
        raise RestoreRefused(
            f"tablespace {strays[0]} was laid out in {found[strays[0]]}, not in {allowed}"
        )
    return found


def _dropped(data_dir: Path) -> tuple[str, ...]:
    """Take away what would begin another recovery, or reach production's tablespaces."""
    there = sorted(name for name in LEFT_OUT if (data_dir / name).exists())
    for name in there:
        (data_dir / name).unlink()
    return tuple(there)
