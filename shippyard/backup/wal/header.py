"""Owns reading what a WAL segment says of itself in its first page. Pure.

PostgreSQL's long page header (access/xlog_internal.h) is the same since 9.3 on little-endian
machines; a server of the other byte order is recognised and refused.
"""

import struct
from dataclasses import dataclass

from shippyard.backup.wal.names import NameInvalid, is_segment, parse_segment

HEADER_BYTES = 40

_LAYOUT = struct.Struct("<HHIQI4xQII")
_MAGIC_FIRST = 0xD000
_LONG_HEADER = 0x0002
_MIN_SEGMENT_BYTES = 1 << 20
_MAX_SEGMENT_BYTES = 1 << 30


class NotWal(Exception):
    """The file is not a WAL segment, or not the one that its name says; one line."""


@dataclass(frozen=True)
class Header:
    """What the first page says: whose WAL it is, and where it belongs."""

    system_identifier: str
    segment_bytes: int
    timeline: int
    lsn: int


def parse_header(data: bytes) -> Header:
    """The header in the first bytes of a segment.

    Raises:
        NotWal: there is none.
    """
    if len(data) < HEADER_BYTES:
        raise NotWal("too short to be WAL")
    magic, info, timeline, lsn, _, system, segment_bytes, _ = _LAYOUT.unpack(data[:HEADER_BYTES])
    if magic < _MAGIC_FIRST or not info & _LONG_HEADER:
        raise NotWal("it does not begin as WAL does")
    if not _MIN_SEGMENT_BYTES <= segment_bytes <= _MAX_SEGMENT_BYTES:
        raise NotWal(f"its header tells a segment size of {segment_bytes} bytes")
    return Header(str(system), segment_bytes, timeline, lsn)


def check_header(header: Header, name: str, size_bytes: int) -> None:
    """Refuse a segment that is not what its name says.

    A segment in which a timeline begins still carries the page headers of the one before.

    Raises:
        NotWal: another position, a later timeline, or another size.
    """
    try:
        segment = parse_segment(name, header.segment_bytes)
    except NameInvalid as error:
        raise NotWal(str(error)) from None
    if header.lsn != segment.begins(header.segment_bytes):
        raise NotWal(f"{name} holds WAL of another position: its header differs from its name")
    if header.timeline > segment.timeline:
        raise NotWal(f"{name} holds WAL of timeline {header.timeline}")
    if is_segment(name) and size_bytes != header.segment_bytes:
        raise NotWal(f"{name} is short: {size_bytes} of {header.segment_bytes} bytes")
