"""Owns making one whole backup of a full one and its incremental ones, by pg_combinebackup.

Only the server's own major version can do that. What comes out is held against the manifest that
was written with it, because nobody has seen these files before.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from shippyard.backup.engines.base_manifest import CHECKSUM
from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.unpack import Owner, give
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import one_line
from shippyard.postgres.tools import Tools

REASON_CHARS = 400


class ChainUnusable(Exception):
    """The backups don't make one, or could not be combined; one line says what is missing."""


def broken_link(manifests: Sequence[Manifest]) -> str | None:
    """Why these, oldest first, are no full backup and its incremental ones; None when they are."""
    if not manifests:
        return "there is no backup to restore"
    if manifests[0].parent is not None:
        return f"{manifests[0].id} needs its parent {manifests[0].parent}, which is not here"
    for parent, child in pairwise(manifests):
        if child.parent != parent.id:
            return f"{child.id} needs its parent {child.parent}, not {parent.id}"
        if child.source.system_identifier != parent.source.system_identifier:
            return f"{child.id} is of another cluster than {parent.id}"
    return None


def combine(
    links: Sequence[Path],
    data_dir: Path,
    tablespaces: Mapping[Path, Path],
    *,
    processes: Processes,
    tools: Tools,
    owner: Owner,
    durable: bool,
    timeout_s: float,
) -> None:
    """Combine unpacked backups, oldest first, into `data_dir`.

    `tablespaces` are folders of the newest one to where each goes.

    Raises:
        ChainUnusable: the program refused, ran past its time, or what it wrote is not whole.
        ProcessesStopped, OSError: it could not be started.
    """
    argv = [
        tools.path("pg_combinebackup"),
        f"--output={data_dir}",
        f"--manifest-checksums={CHECKSUM}",
        *(
            f"--tablespace-mapping={_escaped(old)}={_escaped(new)}"
            for old, new in tablespaces.items()
        ),
        *([] if durable else ["--no-sync"]),
        *map(str, links),
    ]
    _run(processes, argv, timeout_s)
    # WAL is decoded by recovery itself, and was when the backup was verified.
    _run(processes, [tools.path("pg_verifybackup"), "--no-parse-wal", str(data_dir)], timeout_s)
    for folder in (data_dir, *tablespaces.values()):
        give(folder, owner)


def _run(processes: Processes, argv: Sequence[str], timeout_s: float) -> None:
    program = Path(argv[0]).name
    if not Path(argv[0]).is_file():
        raise ChainUnusable(
            f"no {program} here, which incremental backups need; install the server's own programs"
        )
    try:
        done = processes.run(argv, timeout_s=timeout_s)
    except ProcessTimedOut as error:
        raise ChainUnusable(f"{program} was {error}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error: " in line][:1]
        raise ChainUnusable(one_line(Exception(*said or [done.reason()]))[:REASON_CHARS])


def _escaped(path: Path) -> str:
    return str(path).replace("=", "\\=")
