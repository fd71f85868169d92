"""What a recovery is told, what it is handed, and when its end is no success."""

import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shippyard.backup.restore import feeder
from shippyard.backup.restore.coverage import Coverage
from shippyard.backup.restore.line import line_to
from shippyard.backup.restore.physical import (
    RestoreRefused,
    WalUnusable,
    recovery_settings,
)
from shippyard.backup.restore.plan import Plan, refuse_short
from shippyard.backup.restore.point import LATEST, parse_point
from shippyard.backup.restore.spooled import EMPTY, Judged, judge

SIZE = 1 << 20
TARGETS = ("", "_name", "_time", "_xid", "_lsn")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("2026-03-04T05:06:07Z", "recovery_target_time", "2026-03-04T05:06:07+00:00"),
        ("0/3000060", "recovery_target_lsn", "0/3000060"),
        ("name:half way", "recovery_target_name", "half way"),
        ("xid:77", "recovery_target_xid", "77"),
    ],
)
def test_one_target_is_set_and_it_is_the_last(text: str, name: str, value: str) -> None:
    settings = recovery_settings(parse_point(text), Path("/srv/spool"))
    assert list(settings.items())[-1] == (name, value)
    others = {f"recovery_target{suffix}" for suffix in TARGETS} - {name}
    assert {settings[other] for other in others} == {""}


def test_nothing_of_production_is_left_to_decide() -> None:
    settings = recovery_settings(replace(LATEST, timeline="3"), Path("/srv/spool"))
    assert settings == {
        "restore_command": (
            'sh "/srv/spool/fetch" "%f" "%p"; case $? in 0) ;; 100) exit 1 ;; *) exit 200 ;; esac'
        ),
        "recovery_end_command": "",
        "archive_cleanup_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "recovery_target_inclusive": "on",
        "recovery_target_timeline": "3",
        "recovery_target_action": "promote",
        **{f"recovery_target{suffix}": "" for suffix in TARGETS},
    }


def test_before_a_transaction_is_exclusive() -> None:
    settings = recovery_settings(parse_point("xid:77"), Path("/s"), action="pause")
    assert settings["recovery_target_inclusive"] == "off"
    assert settings["recovery_target_action"] == "pause"


@pytest.mark.parametrize("path", ["/a b", "/a'b", '/a"b', "/a$b", "/a`b", "/a%b", "/a\\b", "/a\nb"])
def test_a_spool_that_a_shell_would_misread_is_refused(path: str) -> None:
    with pytest.raises(RestoreRefused, match="can't be a spool"):
        recovery_settings(LATEST, Path(path))


def plan(last: int, point: str = "latest") -> Plan:
    return Plan(
        point=replace(parse_point(point), timeline="1"),
        line=line_to(1, {}),
        segment_bytes=SIZE,
        first=2,
        last=last,
        names=frozenset(),
        system_identifier="7",
        coverage=Coverage(0, 0),
    )


@pytest.mark.parametrize(
    ("last", "ended", "loose", "is_short"),
    [
        (5, 5 * SIZE + 1, False, False),
        (5, 5 * SIZE, False, True),
        (5, 5 * SIZE, True, False),
        (5, 4 * SIZE, True, True),
        (5, None, False, True),
        (1, None, False, False),
        (-1, None, False, False),
    ],
)
def test_an_end_is_held_against_what_is_kept(
    *, last: int, ended: int | None, loose: bool, is_short: bool
) -> None:
    if not is_short:
        refuse_short(plan(last), ended, last_is_loose=loose)
        return
    with pytest.raises(RestoreRefused, match="data is missing in what was restored"):
        refuse_short(plan(last), ended, last_is_loose=loose)


def test_other_targets_are_postgresqls_own_to_refuse() -> None:
    refuse_short(plan(9, "0/1"), None)


def segment(number: int, *, system: int = 7, remaining: int = 0, used: int = 4096) -> bytes:
    header = struct.pack("<HHIQI4xQII", 0xD110, 2, 1, number * SIZE, remaining, system, SIZE, 8192)
    return (header + b"x" * (used - len(header))).ljust(SIZE, b"\0")


NAME = "000000010000000000000003"


def judged(folder: Path, data: bytes, *, is_last: bool = False) -> Judged:
    file = folder / NAME
    file.write_bytes(data)
    return judge(file, NAME, segment_bytes=SIZE, system_identifier="7", is_last=is_last)


def test_a_segment_is_what_its_name_says(tmp_path: Path) -> None:
    found = judged(tmp_path, segment(3))
    assert (found.used_bytes, found.begins_a_record) == (4096, True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (segment(4), "holds WAL of another position"),
        (segment(3, system=8), "is of cluster 8, the backup is of 7"),
        (segment(3)[:-1], "has 1048575 of 1048576 bytes"),
        (bytes(SIZE), "does not begin as WAL does"),
    ],
)
def test_what_is_not_is_damaged(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(WalUnusable) as refused:
        judged(tmp_path, data)
    assert said in str(refused.value)


def test_the_last_one_may_be_short_or_empty(tmp_path: Path) -> None:
    assert judged(tmp_path, segment(3)[:5000], is_last=True).used_bytes == 4096
    assert (tmp_path / NAME).stat().st_size == SIZE
    assert judged(tmp_path, bytes(SIZE), is_last=True) == EMPTY
    assert judged(tmp_path, b"", is_last=True) == EMPTY


def test_a_record_that_only_ends_in_the_last_one_may_be_cut(tmp_path: Path) -> None:
    cut = judged(tmp_path, segment(3, remaining=9000, used=8192), is_last=True)
    whole = judged(tmp_path, segment(3, remaining=9000, used=20000), is_last=True)
    assert (cut.begins_a_record, whole.begins_a_record) == (False, True)


class Spool:
    """A spool as a feeder leaves it, and the script that recovery runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "spool"
        for name in feeder.FOLDERS:
            (self.folder / name).mkdir(parents=True)
        (self.folder / "pulse").write_text("1\n")
        (self.folder / "fetch").write_text(feeder._SCRIPT)
        self.destination = folder / "RECOVERYXLOG"

    def fetch(self) -> "subprocess.CompletedProcess[str]":
        command = recovery_settings(LATEST, self.folder)["restore_command"]
        command = command.replace("%f", NAME).replace("%p", str(self.destination))
        argv = ["sh", "-c", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_the_script_moves_what_is_ready(spool: Spool) -> None:
    (spool.folder / "ready" / NAME).write_text("wal")
    assert spool.fetch().returncode == 0
    assert spool.destination.read_text() == "wal"
    assert not (spool.folder / "ready" / NAME).exists()


def test_only_what_is_known_to_be_absent_is_absent(spool: Spool) -> None:
    """Recovery takes 1 for the end of the WAL, and ends the server over what is above 125."""
    (spool.folder / "absent" / NAME).write_text("")
    assert spool.fetch().returncode == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "refused" / NAME).write_text("it is damaged\n"),
        lambda folder: (folder / "ended").write_text(""),
        lambda folder: (folder / "pulse").unlink(),
        lambda folder: (folder / "want").rmdir(),
        lambda folder: (folder / "fetch").unlink(),
    ],
)
def test_everything_else_ends_the_server(spool: Spool, spoil: Callable[[Path], object]) -> None:
    spoil(spool.folder)
    assert spool.fetch().returncode == 200


def test_a_file_that_can_not_be_moved_ends_the_server(spool: Spool) -> None:
    (spool.folder / "ready" / NAME).write_text("wal")
    spool.destination = spool.folder / "nowhere" / "x"
    assert spool.fetch().returncode == 200


def test_the_script_says_what_it_wants_and_waits(spool: Spool) -> None:
    def serve() -> None:
        want = spool.folder / "want" / NAME
        while not want.exists():
            pass
        (spool.folder / "ready" / NAME).write_text("late")

    thread = threading.Thread(target=serve)
    thread.start()
    assert spool.fetch().returncode == 0
    thread.join()
    assert spool.destination.read_text() == "late"
