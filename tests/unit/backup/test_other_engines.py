"""What pgBackRest and Barman print, read."""

import json
from typing import Any

import pytest

from shippyard.backup.engines.barman import parse_backup
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.engines.pgbackrest import parse_archive, parse_info, parse_verify

LABEL = "20260304-050607F"
WELL = f"""stanza: main
status: ok
  archiveId: 15-1, total WAL checked: 4, total valid WAL: 4
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {LABEL}, status: valid, total files checked: 964, total valid files: 964
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""


def info(code: int = 0, message: str = "ok", **backup: Any) -> str:
    described = {
        "label": LABEL,
        "prior": None,
        "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
        "lsn": {"start": "0/2000028", "stop": "0/3000100"},
        "timestamp": {"start": 1772600760, "stop": 1772600767},
        "info": {"repository": {"size": 2823169}},
        "error": False,
        **backup,
    }
    status = {"code": code, "message": message}
    return json.dumps([{"name": "main", "status": status, "backup": [described]}])


def test_a_backup_of_pgbackrest_is_described() -> None:
    (held,) = parse_info(info())
    assert (held.label, held.parent, held.sound) == (LABEL, None, True)
    assert (held.wal_first, held.wal_last) == (
        "000000010000000000000002",
        "000000010000000000000003",
    )
    assert held.size_bytes == 2823169


def test_a_backup_with_an_error_is_not_sound() -> None:
    assert not parse_info(info(error=True))[0].sound


def test_a_stanza_that_is_ill_is_said_in_its_own_words() -> None:
    with pytest.raises(EngineFailed, match="missing stanza path"):
        parse_info(info(1, "missing stanza path"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_no_answer_is_no_answer(text: str) -> None:
    with pytest.raises(EngineFailed, match="nothing that can be read"):
        parse_info(text)


def test_a_report_without_fault_finds_nothing() -> None:
    assert parse_verify(WELL, LABEL) == []


@pytest.mark.parametrize("fault", ["missing", "checksum invalid", "size invalid", "other"])
def test_a_fault_of_the_backup_is_named(fault: str) -> None:
    head, tail = WELL.rsplit("missing: 0", 1)
    text = head + ("missing: 0" + tail).replace(f"{fault}: 0", f"{fault}: 3")
    assert parse_verify(text, LABEL) == [f"pgbackrest verify: backup {LABEL}: 3 {fault}"]


def test_a_fault_of_the_wal_is_named_whichever_backup_is_meant() -> None:
    assert parse_verify(WELL.replace("checksum invalid: 0", "checksum invalid: 1", 1), LABEL) == [
        "pgbackrest verify: archiveId 15-1: 1 checksum invalid"
    ]


@pytest.mark.parametrize("text", ["", "stanza: main\nstatus: ok\n"])
def test_a_report_that_does_not_speak_of_the_backup_proves_nothing(text: str) -> None:
    assert parse_verify(text, LABEL) == [f"pgbackrest verify did not look at {LABEL}"]


def test_an_error_elsewhere_is_not_passed_over() -> None:
    assert parse_verify(WELL.replace("status: ok", "status: error"), LABEL) == [
        "pgbackrest verify reports an error elsewhere in the repository"
    ]


def test_segments_are_found_among_all_there_is_in_an_archive() -> None:
    listing: dict[str, Any] = {
        "15-1/0000000100000000/000000010000000000000002-" + "a" * 40 + ".zst": {},
        "15-1/0000000100000000/000000010000000000000001-" + "b" * 40: {},
        "15-1/0000000100000000/000000010000000000000002.00000028.backup": {},
        "15-1/00000002.history": {},
        "archive.info": {},
    }
    assert parse_archive(json.dumps(listing)) == [
        "000000010000000000000001",
        "000000010000000000000002",
        "00000002.history",
    ]


@pytest.mark.parametrize(
    ("status", "sound"), [("DONE", True), ("STARTED", False), ("FAILED", False)]
)
def test_with_barman_only_what_is_done_counts(status: str, sound: bool) -> None:  # noqa: FBT001
    files = {"begin_wal": "0000000100000000000000AA", "end_wal": "0000000100000000000000AB"}
    shown = {"backup_id": "20260304T050607", "status": status, "base_backup_information": files}
    held = parse_backup(shown)
    assert (held.sound, held.wal_first) == (sound, "0000000100000000000000AA")
