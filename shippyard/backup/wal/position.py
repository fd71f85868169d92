"""Owns how far WAL was received, read from what pg_receivewal wrote: no server is asked.

pg_receivewal makes a segment full of zeros and writes into it from the front, flushing each time;
the first page of zeros is the end of what came. A server sends up to the end of a record or of a
page, so in the page before it the records are counted by their lengths: one may end in zeros.
"""

import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shippyard.backup.wal.names import Segment, is_partial, is_segment, parse_segment

PAGE_BYTES = 8192
_ALIGNED = 8
_PAGE_HEADER = struct.Struct("=HHIQI")
"""Magic, flags, timeline, address, and how much of a record from the page before is left here."""
_LONG_HEADER = 0x0002
_HEADER_BYTES, _LONG_HEADER_BYTES = 24, 40
_LENGTH = struct.Struct("=I")
"""Every record begins with it."""


@dataclass(frozen=True)
class Received:
    """How far WAL came: up to `lsn` on `timeline`, the last of it written `at`."""

    timeline: int
    lsn: int
    at: datetime


def received(receiving: Path, segment_bytes: int) -> Received | None:
    """How far the newest segment in the receiver's folder is filled; None when there is none.

    Raises:
        OSError: the folder can't be read.
    """
    newest = newest_in(receiving, segment_bytes)
    if newest is None:
        return None
    segment, path = newest
    try:
        with path.open("rb") as file:
            filled = filled_bytes(
                file.fileno(), min(os.fstat(file.fileno()).st_size, segment_bytes)
            )
            at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except FileNotFoundError:
        return None  # it was finished and moved away just now
    return Received(segment.timeline, segment.begins(segment_bytes) + filled, at)


def newest_in(receiving: Path, segment_bytes: int) -> tuple[Segment, Path] | None:
    """The newest segment in the receiver's folder, whole or not.

    Raises:
        OSError: the folder can't be read.
    """
    found = [
        (parse_segment(each.name, segment_bytes), Path(each.path))
        for each in os.scandir(receiving)
        if is_segment(each.name) or is_partial(each.name)
    ]
    return max(found, default=None)


def filled_bytes(fd: int, size_bytes: int) -> int:
    """How many bytes of a segment came, counted to the end of its last record.

    Raises:
        OSError: it can't be read.
    """
    low, high = 0, -(-size_bytes // PAGE_BYTES)
    while low < high:
        middle = (low + high) // 2
        if _page(fd, middle).strip(b"\0"):
            low = middle + 1
        else:
            high = middle
    return (low - 1) * PAGE_BYTES + _end_in(_page(fd, low - 1)) if low else 0


def _end_in(page: bytes) -> int:
    """Where the last record ends in a page that is not all zeros."""
    used = _aligned(len(page.rstrip(b"\0")))
    if used < _HEADER_BYTES:
        return used
    _, flags, _, _, left = _PAGE_HEADER.unpack_from(page)
    end = (_LONG_HEADER_BYTES if flags & _LONG_HEADER else _HEADER_BYTES) + _aligned(left)
    while end < used:
        (length,) = _LENGTH.unpack_from(page, end)
        if not length:
            return used  # not a record: all that is known is what is not zero
        end += _aligned(length)
    return min(end, PAGE_BYTES)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNED) * _ALIGNED


def _page(fd: int, number: int) -> bytes:
    return os.pread(fd, PAGE_BYTES, number * PAGE_BYTES)
