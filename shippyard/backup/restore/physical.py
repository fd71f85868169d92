"""Owns bringing a base backup back as files that PostgreSQL can recover from.

The files are checked against their own manifest while they are written, links are made anew and
never point to where production's files are, and a folder with anything in it is refused. Starting
the server is somebody else's.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from shippyard.backup.engines.base_files import BaseUnusable, Walked
from shippyard.backup.engines.base_manifest import FILE_NAME, BaseManifestUnusable
from shippyard.backup.engines.tarball import SUFFIX, TarballUnusable
from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.chain import ChainUnusable, broken_link, combine
from shippyard.backup.restore.line import DEFAULT_SEGMENT_BYTES
from shippyard.backup.restore.point import Point
from shippyard.backup.restore.unpack import Disk, Owner, owner_of, unpack
from shippyard.backup.wal.names import parse_lsn
from shippyard.host.process import Processes, ProcessesStopped
from shippyard.postgres.tools import Tools

NAMED = 5
SETTINGS = "postgresql.conf"
FETCH = "fetch"
"""The script in a spool that waits for a WAL file and moves it."""

# Recovery takes statuses up to 125 for the end of the WAL, also when a shell just failed: only 100,
# which the script alone gives, may mean that.
_COMMAND = 'sh "{fetch}" "%f" "%p"; case $? in 0) ;; 100) exit 1 ;; *) exit 200 ;; esac'
_TABLESPACE_TAR = re.compile(rf"([0-9]+){re.escape(SUFFIX)}")
# In a settings file, in a shell and in PostgreSQL's own percent signs these would mean something.
_AWKWARD = re.compile(r"""[\s'"\\$`%]""")


class RestoreRefused(Exception):
    """The place or the backup is not fit to be restored; one line says what is there."""


class WalUnusable(Exception):
    """A kept WAL file is there and damaged; one line names it."""


@dataclass(frozen=True)
class BaseFiles:
    """A base backup and its parents as local folders, oldest first: the full one, then the rest."""

    folders: tuple[Path, ...]
    manifests: tuple[Manifest, ...]


class WalSource(Protocol):
    """Where kept WAL can be had from: a folder, or a store off this machine."""

    def segments(self) -> Sequence[str]:
        """Names there are: segments and `.history` files.

        What a receiver had not finished yet is listed under its full name, and only while there is
        no complete one.
        """
        ...

    def fetch(self, name: str, into: Path) -> bool:
        """Write a file, decompressed and proven against its hash, to `into`; False when absent.

        Raises:
            WalUnusable: it is damaged.
        """
        ...


@dataclass(frozen=True)
class LaidOut:
    """A base backup as files. LSNs are what recovery begins from and must get past.

    `tablespaces` are oids to folders. `wal` are segments that came with it, in `pg_wal`.
    `dropped` are files of the backup that were left out, because they would change what recovery
    does. Without `has_settings` production's postgresql.conf was kept elsewhere.
    """

    data_dir: Path
    tablespaces: dict[str, Path]
    timeline: int
    lsn_at_start: int
    lsn_at_end: int
    segment_bytes: int
    system_identifier: str
    wal: tuple[str, ...]
    size_bytes: int
    dropped: tuple[str, ...] = ()
    has_settings: bool = True


def lay_out(
    files: BaseFiles,
    data_dir: Path,
    tablespaces: Path | Mapping[str, Path],
    *,
    processes: Processes,
    tools: Tools,
    account: str | None,
    jobs: int,
    on_size: Callable[[int], None],
    durable: bool = True,
    timeout_s: float = 6 * 3600.0,
) -> LaidOut:
    """Write a base backup into `data_dir`, every tablespace into a folder of its own.

    `tablespaces` is a folder, in which each gets one by its oid, or says where each goes.
    `on_size` is told bytes written so far. Without `durable` files are not flushed to disk, which
    is for a sandbox only. On failure what was written is taken away again.

    Raises:
        RestoreRefused: a folder is not empty, the backup is damaged or no chain, or the tools are
            of another major version.
        ProcessesStopped: the owner stops.
        OSError: a file can't be read or written.
    """
    work = _Work(processes, tools, owner_of(account), jobs, durable, timeout_s, _Counter(on_size))
    places = _places(files, tablespaces)
    _refuse(files, tools, [data_dir, *places.values()])
    try:
        walked, dropped = _written(files, data_dir, places, work)
    except BaseException as error:
        empty([data_dir, *places.values()])
        if isinstance(error, ChainUnusable):
            raise RestoreRefused(str(error)) from None
        raise
    newest = files.manifests[-1]
    return LaidOut(
        data_dir=data_dir,
        tablespaces=places,
        timeline=int(walked.label.segment[:8], 16),
        lsn_at_start=parse_lsn(walked.label.lsn),
        lsn_at_end=max(parse_lsn(each.ends) for each in walked.manifest.wal),
        segment_bytes=walked.wal_segment_bytes or DEFAULT_SEGMENT_BYTES,
        system_identifier=newest.source.system_identifier,
        wal=walked.wal,
        size_bytes=work.counter.total_bytes,
        dropped=tuple(sorted(dropped)),
        has_settings=(data_dir / SETTINGS).is_file(),
    )


def recovery_settings(point: Point, spool: Path, *, action: str = "promote") -> dict[str, str]:
    """Recovery settings for postgresql.conf, in the order in which they are to stand there.

    Whoever writes them puts the quotes.

    Every target is set, so that nothing left from production's own files can end recovery
    elsewhere, and its clean-up commands are gone: they would reach production's archive.

    Raises:
        RestoreRefused: the spool's path can't stand in a command.
    """
    if _AWKWARD.search(str(spool)):
        raise RestoreRefused(f"{spool} can't be a spool: choose a path without spaces and quotes")
    unset = {f"recovery_target{suffix}": "" for suffix in ("", "_name", "_time", "_xid", "_lsn")}
    wanted = f"recovery_target_{point.kind}"
    # The order counts: PostgreSQL takes an empty target after one that is set for a second one.
    target = {} if point.kind == "latest" else {wanted: str(point.value)}
    return {
        "restore_command": _COMMAND.format(fetch=f"{spool}/{FETCH}"),
        "recovery_end_command": "",
        "archive_cleanup_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "recovery_target_inclusive": "on" if point.inclusive else "off",
        "recovery_target_timeline": point.timeline,
        "recovery_target_action": action,
        **{name: value for name, value in unset.items() if name not in target},
        **target,
    }


@dataclass(frozen=True)
class _Work:
    """What every step uses."""

    processes: Processes
    tools: Tools
    owner: Owner
    jobs: int
    durable: bool
    timeout_s: float
    counter: "_Counter"

    def breathe(self) -> None:
        if self.processes.stopping:
            raise ProcessesStopped("stopping: the restore was left")

    def disk(self, data_dir: Path, places: Mapping[str, Path]) -> Disk:
        return Disk(
            data_dir,
            places,
            owner=self.owner,
            durable=self.durable,
            jobs=self.jobs,
            on_bytes=self.counter.add,
        )


class _Counter:
    """Bytes so far, of all threads."""

    def __init__(self, on_size: Callable[[int], None]) -> None:
        self._on_size = on_size
        self.total_bytes = 0

    def add(self, size_bytes: int) -> None:
        self.total_bytes += size_bytes
        self._on_size(self.total_bytes)


def _written(
    files: BaseFiles,
    data_dir: Path,
    places: dict[str, Path],
    work: _Work,
) -> tuple[Walked, list[str]]:
    """The files on disk, and names of those that were left out."""
    if len(files.folders) == 1:
        return _unpacked(files.folders[0], files.manifests[0], data_dir, places, work)
    with tempfile.TemporaryDirectory(prefix=f".{data_dir.name}.", dir=data_dir.parent) as scratch:
        links: list[Path] = []
        for number, (folder, manifest) in enumerate(
            zip(files.folders, files.manifests, strict=True)
        ):
            link = Path(scratch) / str(number)
            own = {oid: link / "tablespaces" / oid for oid in _oids(manifest)}
            # What is combined is flushed once, at the end.
            loose = replace(work, owner=Owner(), durable=False)
            walked, dropped = _unpacked(folder, manifest, link / "data", own, loose)
            shutil.copyfile(folder / FILE_NAME, link / "data" / FILE_NAME)
            links.append(link / "data")
        moves = {own[oid]: places[oid] for oid in own}
        combine(
            links,
            data_dir,
            moves,
            processes=work.processes,
            tools=work.tools,
            owner=work.owner,
            durable=work.durable,
            timeout_s=work.timeout_s,
        )
    return walked, dropped


def _unpacked(
    folder: Path, manifest: Manifest, data_dir: Path, places: Mapping[str, Path], work: _Work
) -> tuple[Walked, list[str]]:
    """One backup's files, each proven; and names of those that were left out."""
    disk = work.disk(data_dir, places)
    try:
        walked, problems = unpack(folder, manifest, disk, jobs=work.jobs, breathe=work.breathe)
    except (BaseUnusable, BaseManifestUnusable, TarballUnusable) as error:
        problems = [str(error)]
    if problems:
        raise RestoreRefused(f"{manifest.id} is damaged: {'; '.join(problems)}; take another copy")
    return walked, disk.dropped


def _oids(manifest: Manifest) -> list[str]:
    """Tablespaces of a backup, beside those that every cluster has."""
    matches = (_TABLESPACE_TAR.fullmatch(entry.name) for entry in manifest.files)
    return sorted(match.group(1) for match in matches if match)


def _places(files: BaseFiles, tablespaces: Path | Mapping[str, Path]) -> dict[str, Path]:
    """Where each tablespace goes, by its oid."""
    oids = _oids(files.manifests[-1]) if files.manifests else []
    if isinstance(tablespaces, Path):
        return {oid: tablespaces / oid for oid in oids}
    if unplaced := [oid for oid in oids if oid not in tablespaces]:
        raise RestoreRefused(f"tablespace {', '.join(unplaced)} has no folder; give one for each")
    return {oid: tablespaces[oid] for oid in oids}


def _refuse(files: BaseFiles, tools: Tools, folders: Sequence[Path]) -> None:
    if broken := broken_link(files.manifests):
        raise RestoreRefused(broken)
    server = files.manifests[-1].source.server_version
    major = int(re.split(r"\D", server)[0] or 0)
    if tools.major != major:
        raise RestoreRefused(
            f"{files.manifests[-1].id} is of PostgreSQL {server}, the programs here are of "
            f"{tools.major}; install postgresql-{major}"
        )
    for folder in folders:
        if there := content_of(folder):
            raise RestoreRefused(f"{folder} is not empty: {there}; give an empty folder")
    inside = [f for f in folders[1:] if f == folders[0] or folders[0] in f.parents]
    if inside or len(set(folders)) < len(folders):
        raise RestoreRefused("give every tablespace a folder of its own, outside the data folder")


def content_of(folder: Path) -> str:
    """What is in a folder, in a few words; nothing when it is empty or not there."""
    if not folder.exists() and not folder.is_symlink():
        return ""
    if not folder.is_dir():
        return "it is no folder"
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"it holds {', '.join(names[:NAMED])}{more}" if names else ""


def empty(folders: Sequence[Path]) -> None:
    """Take away what was written: a second try must find the folders as the first one did."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
