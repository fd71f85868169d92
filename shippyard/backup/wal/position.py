"""Owns how far WAL was received, read from what pg_receivewal wrote: no server is asked.

pg_receivewal makes a segment full of zeros and writes into it from the front, flushing each time;
the first page of zeros is the end of what came.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shippyard.backup.wal.names import Segment, is_partial, is_segment, parse_segment

PAGE_BYTES = 8192
_ALIGNED = 8


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
    """How many bytes of a segment are not yet zero, counted to the last one that is not.

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
    if not low:
        return 0
    used = len(_page(fd, low - 1).rstrip(b"\0"))
    return (low - 1) * PAGE_BYTES + -(-used // _ALIGNED) * _ALIGNED


def _page(fd: int, number: int) -> bytes:
    return os.pread(fd, PAGE_BYTES, number * PAGE_BYTES)
