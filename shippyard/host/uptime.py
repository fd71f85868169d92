"""Owns the time that no clock step changes: which boot this is, and how long ago it was.

Sleep is included. Knows nothing of the time of day.
"""

import time
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Boot:
    """A moment since a boot. Two of one `id` are apart by the difference of `up_s`, exactly."""

    id: str
    up_s: float


def since_boot() -> Boot:
    """This moment. Where the kernel tells no boot's id, every start counts as a boot of its own."""
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = ""
    return Boot(boot_id, time.clock_gettime(time.CLOCK_BOOTTIME))
