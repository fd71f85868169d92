"""Segments as PostgreSQL would write them, for tests that need no server."""

import struct
from pathlib import Path

from shippyard.backup.wal.names import Segment

SIZE = 1024 * 1024
SYSTEM = 7_000_000_000_000_000_001


def write_segment(
    folder: Path,
    number: int,
    *,
    timeline: int = 1,
    fill: bytes = b"x",
    header_timeline: int | None = None,
    system: int = SYSTEM,
) -> Path:
    """A whole segment of 1 MiB with a header that fits its name."""
    header = struct.pack(
        "<HHIQI4xQII",
        0xD110,
        0x0002,
        header_timeline or timeline,
        number * SIZE,
        0,
        system,
        SIZE,
        8192,
    )
    path = folder / Segment(timeline, number).name(SIZE)
    body = (fill * (SIZE // len(fill)))[: SIZE - len(header)]
    path.write_bytes(header + body)
    return path
