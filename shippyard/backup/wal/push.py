"""Owns handing one WAL file to the spool: what archive_command runs, thousands of times a day.

It imports next to nothing, reads no configuration (the server's account may not) and needs no
daemon. A file is in the spool, on disk, when this returns. The same content again is fine, also
after the daemon took it away; another content under the same name is refused.

The spool is `shippyard:postgres` 2770. Files in it are 0644: only those two may enter it, and one
reads what the other wrote.
"""

import os
from pathlib import Path

from shippyard.backup.wal.names import is_wal

DEFAULT_SPOOL = Path("/var/spool/shippyard")
TAKEN = ".taken"
"""Names and hashes of what was taken out of the spool, newest last; the daemon keeps it short."""
FILE_MODE = 0o644
_CHUNK_BYTES = 4 * 1024 * 1024
_TAKEN_BYTES_MAX = 1024 * 1024


class PushRefused(Exception):
    """The server must keep the file and ask again; one line says why."""


def push(source: Path, spool: Path) -> bool:
    """Put a copy of `source` into the spool, durably; False when it was pushed before.

    Raises:
        PushRefused: another content was pushed under that name, or there is no spool.
        OSError: it can't be read or written.
    """
    if not is_wal(source.name):
        raise PushRefused(f"{source} is no WAL file; archive_command hands over %p")
    if not spool.is_dir():
        raise PushRefused(f"there is no spool {spool}; make it: systemd-tmpfiles --create")
    final = spool / source.name
    before = hash_of(final) if final.exists() else _taken(spool, source.name)
    if before is not None:
        return _same_or_refused(source, before)
    return _copy(source, final)


def hash_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    import hashlib  # noqa: PLC0415  seldom needed here, and slow to import

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _same_or_refused(source: Path, before: str) -> bool:
    if hash_of(source) != before:
        raise PushRefused(
            f"{source.name} was pushed before with other content; "
            "are there two servers that archive to one spool?"
        )
    return False


def _taken(spool: Path, name: str) -> str | None:
    """The hash under which a file was taken out of the spool before."""
    try:
        with (spool / TAKEN).open("rb") as file:
            listed = file.read(_TAKEN_BYTES_MAX).decode(errors="replace")
    except FileNotFoundError:
        return None
    found = [line.split() for line in listed.splitlines() if line.startswith(f"{name} ")]
    return found[-1][1] if found else None


def _copy(source: Path, final: Path) -> bool:
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with source.open("rb") as file:
            while os.sendfile(fd, file.fileno(), None, _CHUNK_BYTES):
                pass
        os.fchmod(fd, FILE_MODE)
        os.fsync(fd)
        # A link, because a rename would take the place of what another push put there meanwhile.
        os.link(partial, final)
        _fsync_folder(final.parent)
    except FileExistsError:
        return _same_or_refused(source, hash_of(final))
    finally:
        os.close(fd)
        partial.unlink()
    return True


def _fsync_folder(folder: Path) -> None:
    """As in `host.files`, whose import costs more than the call."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
