"""How much room there is, and when that is not known."""

import os
from pathlib import Path

from shippyard.host.disk import least_free_bytes


def test_the_least_of_all_places_counts(tmp_path: Path) -> None:
    beside = tmp_path / "socket"
    beside.touch()
    room = os.statvfs(tmp_path)
    found = least_free_bytes([tmp_path, tmp_path], beside)
    assert found is not None
    assert 0 <= found <= room.f_blocks * room.f_frsize


def test_what_can_not_be_seen_is_unknown(tmp_path: Path) -> None:
    assert least_free_bytes([tmp_path / "gone"], tmp_path) is None
    assert least_free_bytes([tmp_path], tmp_path / "gone") is None
    assert least_free_bytes([], tmp_path) is None


def test_what_is_another_ones_is_unknown(tmp_path: Path) -> None:
    # /proc/self is this process's own; the socket is told to be somebody else's.
    foreign = next((p for p in (Path("/"), tmp_path) if p.stat().st_uid != os.getuid()), None)
    mine = tmp_path
    if foreign is None:
        foreign = tmp_path / "foreign"
        foreign.touch()
        os.chown(foreign, 65534, 65534)
    assert least_free_bytes([mine], foreign) is None
