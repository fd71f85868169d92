"""Owns the one frame that a runner behind a socket is given: what to run, and every file it needs.

A length, a JSON header, then the files' bytes in the header's order, each of the length and hash
that the header says. Pure but for reading the files; no sockets. Whoever unpacks believes nothing:
not a path, not a length, not a hash.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shippyard.migration.launch import Work
from shippyard.migration.spec import SPEC_MAX_BYTES
from shippyard.migration.tree import FILES_MAX, TREE_MAX_BYTES

HEADER_MAX_BYTES = SPEC_MAX_BYTES + 4 * 1024 * 1024
KEY_MAX_BYTES = 1024 * 1024
LENGTH = struct.Struct(">I")
PROGRAMS = frozenset({"run", "render", "who"})

KEYS = ("sslrootcert", "sslcert", "sslkey", "passfile")
"""Files that libpq is told of, which the runner's user could not read where they are."""

Read = Callable[[int], bytes]
"""Gives exactly as many bytes, or raises."""


class FrameUnusable(Exception):
    """What came is no frame, or not a whole one; one line."""


@dataclass(frozen=True)
class Piece:
    """One file: its path below the copy, or a key's name."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """What is to be run. `spec` still says the sender's `copy`; `files` and `keys` follow it."""

    program: str
    spec: Mapping[str, Any]
    files: tuple[Piece, ...] = ()
    keys: tuple[Piece, ...] = ()

    def pack(self) -> bytes:
        """Its length and itself.

        Raises:
            FrameUnusable: it is too long.
        """
        data = json.dumps(asdict(self)).encode()
        if len(data) > HEADER_MAX_BYTES:
            raise FrameUnusable(f"the plan takes more than {HEADER_MAX_BYTES} bytes to describe")
        return LENGTH.pack(len(data)) + data


def packed(work: Work) -> Iterator[bytes]:
    """The frame of one work, piece by piece.

    Raises:
        FrameUnusable: it is more than a runner takes.
        OSError: a file can't be read.
    """
    spec = json.loads(work.spec)
    files = {
        path.relative_to(work.copy).as_posix(): path.read_bytes()
        for path in sorted(work.copy.rglob("*"))
        if path.is_file()
    }
    keys = _keys_of(spec.get("conninfo", {}))
    header = Header(work.program, spec, _pieces(files), _pieces(keys))
    _refuse_too_much(header)
    yield header.pack()
    yield from files.values()
    yield from keys.values()


def read_header(read: Read) -> Header:
    """The header of what comes, judged before a byte of a file is read.

    Raises:
        FrameUnusable: it is not what we would have sent.
    """
    (length,) = LENGTH.unpack(read(LENGTH.size))
    if length > HEADER_MAX_BYTES:
        raise FrameUnusable(f"a header of {length} bytes is too long")
    try:
        said = json.loads(read(length))
        header = Header(
            str(said["program"]),
            dict(said["spec"]),
            tuple(_piece(each) for each in said["files"]),
            tuple(_piece(each) for each in said["keys"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FrameUnusable(f"no header of ours: {error!r}") from None
    _refuse_too_much(header)
    _refuse_strange(header)
    return header


def unpack(header: Header, read: Read, folder: Path) -> bytes:
    """Write the files below `folder`, and give the spec with the places where they are now.

    Raises:
        FrameUnusable: a file is not what the header says.
        OSError: one can't be written.
    """
    copy, kept = folder / "copy", folder / "keys"
    for root, pieces in ((copy, header.files), (kept, header.keys)):
        root.mkdir(mode=0o700)
        for piece in pieces:
            _write(root / piece.path, read(piece.size), piece)
    spec = {**header.spec, "copy": str(copy)}
    if header.keys:
        places = {piece.path: str(kept / piece.path) for piece in header.keys}
        spec["conninfo"] = {**spec["conninfo"], **places}
    return json.dumps(spec).encode()


def _keys_of(conninfo: Mapping[str, Any]) -> dict[str, bytes]:
    found = {name: Path(str(conninfo[name])) for name in KEYS if conninfo.get(name)}
    keys = {name: path.read_bytes() for name, path in found.items() if path.is_absolute()}
    if "passfile" in keys:
        keys["passfile"] = _lines_of(keys["passfile"], str(conninfo["user"]))
    return keys


def _lines_of(passfile: bytes, user: str) -> bytes:
    """The lines that may be meant for this user: what others' passwords are is not told."""
    lines = passfile.decode(errors="surrogateescape").splitlines()
    wanted = [line for line in lines if _user_in(line) in {user, "*"}]
    return "".join(f"{line}\n" for line in wanted).encode(errors="surrogateescape")


def _user_in(line: str) -> str:
    # host:port:database:user:password, where a colon may be written as \:
    fields = line.replace("\\\\", "\0").replace("\\:", "\1").split(":")
    user = fields[3] if len(fields) > 4 and not line.startswith("#") else ""  # noqa: PLR2004
    return user.replace("\1", ":").replace("\0", "\\")


def _pieces(files: Mapping[str, bytes]) -> tuple[Piece, ...]:
    return tuple(
        Piece(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()
    )


def _piece(said: Mapping[str, Any]) -> Piece:
    size = said["size"]
    if type(size) is not int or size < 0:
        raise ValueError(f"size {size!r}")
    return Piece(str(said["path"]), size, str(said["sha256"]))


def _refuse_too_much(header: Header) -> None:
    if len(header.files) > FILES_MAX:
        raise FrameUnusable(f"more than {FILES_MAX} files")
    if sum(piece.size for piece in header.files) > TREE_MAX_BYTES:
        raise FrameUnusable(f"files of more than {TREE_MAX_BYTES} bytes")
    if any(piece.size > KEY_MAX_BYTES for piece in header.keys):
        raise FrameUnusable(f"a certificate or passfile of more than {KEY_MAX_BYTES} bytes")


def _refuse_strange(header: Header) -> None:
    paths = [piece.path for piece in header.files]
    strange = [path for path in paths if not _is_below(path)]
    strange += [piece.path for piece in header.keys if piece.path not in KEYS]
    if header.program not in PROGRAMS or strange or len(set(paths)) != len(paths):
        raise FrameUnusable(f"not what we send: {header.program!r}, {strange[:3]}")


def _is_below(path: str) -> bool:
    pure = PurePosixPath(path)
    plain = bool(pure.parts) and pure.as_posix() == path and "\0" not in path
    return plain and not pure.is_absolute() and ".." not in pure.parts


def _write(place: Path, data: bytes, piece: Piece) -> None:
    if hashlib.sha256(data).hexdigest() != piece.sha256:
        raise FrameUnusable(f"{piece.path} came with another content than was said")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place.touch(mode=0o600)
    place.write_bytes(data)
