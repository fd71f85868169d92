"""Owns what a receiver says of itself to whoever watches: one JSON file, replaced as a whole."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from shippyard.host.files import write_atomically

FILE_NAME = ".receiver.json"
MAX_BYTES = 64 * 1024
FIRST_S = 60.0
"""Started together with the daemon, a receiver has spoken and made its slot long before this."""

ReceiverState = Literal["starting", "streaming", "waiting", "refused", "stopped"]


@dataclass(frozen=True)
class ReceiverStatus:
    """How a receiver is. `error` is why it does not stream, in one line."""

    pid: int
    state: ReceiverState
    updated_at: datetime
    timeline: int | None = None
    received_lsn: str | None = None
    flushed_at: datetime | None = None
    last_segment: str | None = None
    restarts: int = 0
    error: str | None = None


def write_status(folder: Path, status: ReceiverStatus) -> None:
    """Replace what is said.

    Raises:
        OSError: it can't be written.
    """
    write_atomically(folder / FILE_NAME, json.dumps(asdict(status), default=_iso).encode())


def read_status(folder: Path) -> ReceiverStatus | None:
    """What a receiver last said; None when it never spoke, or not in words we know."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            said: dict[str, Any] = json.loads(file.read(MAX_BYTES))
        for name in ("updated_at", "flushed_at"):
            said[name] = datetime.fromisoformat(said[name]) if said[name] else None
        return ReceiverStatus(**said)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _iso(value: datetime) -> str:
    return value.isoformat()
