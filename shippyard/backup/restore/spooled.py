"""Owns judging a fetched WAL segment before recovery gets to see it: whose it is, how full it is.

Knows files of segments. Which of them is wanted is decided elsewhere.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from shippyard.backup.restore.physical import WalUnusable
from shippyard.backup.wal.header import HEADER_BYTES, NotWal, check_header, parse_header

# Of a page of 8 KiB, what a record that goes on over it can't use, and what the end may round.
_PAGE_BYTES, _PAGE_HEADER_BYTES, _SLACK_BYTES = 8192, 24, 64
_REMAINING = slice(16, 20)


@dataclass(frozen=True)
class Judged:
    """What is in a segment: bytes up to the last one that is not zero.

    `begins_a_record` says that recovery, having read it, must have got into it: a record that only
    ends here may be cut off, and then recovery ends before it.
    """

    used_bytes: int
    begins_a_record: bool


EMPTY = Judged(0, begins_a_record=False)


def used_bytes(file: Path) -> int:
    """Where a segment's content ends, and the zeros that fill it up begin."""
    return len(file.read_bytes().rstrip(b"\0"))


def judge(
    file: Path, name: str, *, segment_bytes: int, system_identifier: str, is_last: bool
) -> Judged:
    """Hold a segment against its name and cluster. The last one may be short: it is filled up.

    Raises:
        WalUnusable: it is not the WAL that its name says, of this cluster, whole.
        OSError: it can't be read.
    """
    size_bytes = file.stat().st_size
    if is_last and size_bytes < segment_bytes:
        # PostgreSQL takes no file of another size.
        os.truncate(file, segment_bytes)
    elif size_bytes != segment_bytes:
        raise WalUnusable(f"WAL segment {name} has {size_bytes} of {segment_bytes} bytes")
    used = used_bytes(file)
    if is_last and not used:
        return EMPTY
    with file.open("rb") as opened:
        head = opened.read(HEADER_BYTES)
    try:
        header = parse_header(head)
        check_header(header, name, segment_bytes)
    except NotWal as error:
        raise WalUnusable(f"WAL segment {name} is damaged: {error}") from None
    if header.system_identifier != system_identifier:
        raise WalUnusable(
            f"WAL segment {name} is of cluster {header.system_identifier}, the backup is of "
            f"{system_identifier}"
        )
    return Judged(used, used > _end_of_first(head))


def _end_of_first(head: bytes) -> int:
    """How far a record that began in an earlier segment reaches into this one."""
    remaining = int.from_bytes(head[_REMAINING], "little")
    pages = remaining // (_PAGE_BYTES - _PAGE_HEADER_BYTES) + 1
    return HEADER_BYTES + remaining + pages * _PAGE_HEADER_BYTES + _SLACK_BYTES
