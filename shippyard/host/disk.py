"""Owns how much room there is where somebody else's files are. Knows nothing of what they mean."""

import os
from collections.abc import Iterable
from pathlib import Path


def least_free_bytes(places: Iterable[Path], beside: Path) -> int | None:
    """The least that is free at any of `places`, for whoever owns `beside`.

    None when one of them can't be seen, or is another one's: a folder of the same name in here
    need not be the one that a server in a container of its own means.
    """
    try:
        owner = beside.stat().st_uid
        return min((_free_bytes(place, owner) for place in places), default=None)
    except OSError:
        return None


def _free_bytes(place: Path, owner: int) -> int:
    if place.stat().st_uid != owner:
        raise PermissionError(f"{place} is another one's")
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize
