"""A frame carries a plan's files whole; whoever unpacks one believes nothing of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from shippyard.migration import launch
from shippyard.migration.launch import TooMuchSaid, Work, whole_lines
from shippyard.migration.launch_frame import (
    HEADER_MAX_BYTES,
    LENGTH,
    FrameUnusable,
    Header,
    Piece,
    packed,
    read_header,
    unpack,
)
from shippyard.migration.launch_socket import read_exactly
from shippyard.migration.tree import TREE_MAX_BYTES

HASH = "0" * 64


def reader(data: bytes) -> Callable[[int], bytes]:
    return read_exactly(BytesIO(data).read)


def work_of(copy: Path, **conninfo: Any) -> Work:
    (copy / "versions").mkdir(parents=True)
    (copy / "alembic.ini").write_text("[alembic]\n")
    (copy / "versions" / "001_a.py").write_bytes(b"\x00\xff" * 1000)
    (copy / "versions" / "__init__.py").write_text("")
    return Work("run", copy, json.dumps({"copy": str(copy), "conninfo": conninfo}).encode())


def test_what_is_sent_is_what_arrives(tmp_path: Path) -> None:
    work = work_of(tmp_path / "copy", user="ana", password="s3cret")
    read = reader(b"".join(packed(work)))
    header = read_header(read)
    there = tmp_path / "there"
    there.mkdir()
    spec = json.loads(unpack(header, read, there))
    assert spec == {
        "copy": str(there / "copy"),
        "conninfo": {"user": "ana", "password": "s3cret"},
    }
    sent = {p.relative_to(work.copy): p.read_bytes() for p in work.copy.rglob("*") if p.is_file()}
    came = there / "copy"
    assert sent == {p.relative_to(came): p.read_bytes() for p in came.rglob("*") if p.is_file()}


def test_certificates_go_along_and_only_our_own_lines_of_a_passfile(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("PRIVATE")
    (tmp_path / "pass").write_text(
        "# h:1:d:ana:comment\nh:1:d:ana:one\nh:1:d:bob:two\nh\\:x:1:d:ana:three\n*:*:*:*:four\n"
    )
    work = work_of(
        tmp_path / "copy",
        user="ana",
        sslkey=str(tmp_path / "key"),
        passfile=str(tmp_path / "pass"),
    )
    read = reader(b"".join(packed(work)))
    there = tmp_path / "there"
    there.mkdir()
    conninfo = json.loads(unpack(read_header(read), read, there))["conninfo"]
    assert Path(conninfo["sslkey"]).read_text() == "PRIVATE"
    assert Path(conninfo["sslkey"]).stat().st_mode & 0o777 == 0o600
    kept = Path(conninfo["passfile"]).read_text()
    assert kept == "h:1:d:ana:one\nh\\:x:1:d:ana:three\n*:*:*:*:four\n"


def test_a_file_of_another_content_is_refused(tmp_path: Path) -> None:
    frame = bytearray(b"".join(packed(work_of(tmp_path / "copy"))))
    frame[-5] ^= 1
    read = reader(bytes(frame))
    header = read_header(read)
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(FrameUnusable, match="another content"):
        unpack(header, read, there)


def test_half_a_frame_is_no_frame(tmp_path: Path) -> None:
    frame = b"".join(packed(work_of(tmp_path / "copy")))
    read = reader(frame[:-1])
    header = read_header(read)
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(EOFError):
        unpack(header, read, there)


GOOD = Header("run", {}, (Piece("versions/001.py", 1, HASH),))


@pytest.mark.parametrize(
    "changed",
    [
        {"program": "shell"},
        {"files": (Piece("/etc/passwd", 1, HASH),)},
        {"files": (Piece("../outside", 1, HASH),)},
        {"files": (Piece("a/../../outside", 1, HASH),)},
        {"files": (Piece("a//b", 1, HASH),)},
        {"files": (Piece("", 1, HASH),)},
        {"files": (Piece(".", 1, HASH),)},
        {"files": (Piece("a\0b", 1, HASH),)},
        {"files": (Piece("a", 1, HASH), Piece("a", 1, HASH))},
        {"files": (Piece("a", TREE_MAX_BYTES + 1, HASH),)},
        {"files": (Piece("a", -1, HASH),)},
        {"files": tuple(Piece(f"f{n}", 0, HASH) for n in range(10_001))},
        {"keys": (Piece("id_rsa", 1, HASH),)},
        {"keys": (Piece("sslkey", 2**20 + 1, HASH),)},
    ],
    ids=lambda changed: str(changed)[:50],
)
def test_what_we_would_not_send_is_refused_before_a_file_is_read(changed: Any) -> None:
    read_header(reader(GOOD.pack()))
    with pytest.raises(FrameUnusable):
        read_header(reader(replace(GOOD, **changed).pack()))


@pytest.mark.parametrize(
    "data",
    [
        LENGTH.pack(HEADER_MAX_BYTES + 1),
        LENGTH.pack(2) + b"[]",
        LENGTH.pack(2) + b"{}",
        LENGTH.pack(3) + b"\xff{}",
    ],
)
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(FrameUnusable):
        read_header(reader(data))


def test_lines_are_whole_however_they_come() -> None:
    pieces = [b'{"a"', b": 1}\n{", b"}", b"\n\nlast"]
    assert list(whole_lines(pieces)) == [b'{"a": 1}', b"{}", b"", b"last"]


def test_a_line_without_an_end_is_not_listened_to_for_ever(monkeypatch: Any) -> None:
    monkeypatch.setattr(launch, "LINE_MAX_BYTES", 10)
    with pytest.raises(TooMuchSaid):
        list(whole_lines([b"123456", b"7890A"]))
    assert list(whole_lines([b"123456\n", b"7890A\n"])) == [b"123456", b"7890A"]


def test_nor_is_a_flood_of_lines(monkeypatch: Any) -> None:
    monkeypatch.setattr(launch, "OUTPUT_MAX_BYTES", 10)
    with pytest.raises(TooMuchSaid):
        list(whole_lines([b"12345\n", b"67890\n"]))
