"""Compressed files: what is written comes back, and nothing else passes for it."""

import hashlib
import os
import random
import resource
from pathlib import Path

import pytest
import zstandard

from shippyard.backup.compression import (
    CUT,
    Compressing,
    Undecodable,
    compress_file,
    decompressed,
    undecodable,
)

CONTENT = os.urandom(5000) + b"shippyard " * 40_000 + bytes(300_000)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.zst"
    with Compressing(path) as file:
        file.write(CONTENT)
    return path


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT, CONTENT * 20])
def test_what_is_written_comes_back(content: bytes, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "x.zst"
    with Compressing(path, level=3, threads=threads) as file:
        for start in range(0, len(content), 65_536):
            file.write(content[start : start + 65_536])
    with decompressed(path) as stream:
        assert stream.read() == content
    assert undecodable(path) is None
    data = path.read_bytes()
    assert file.entry.name == "x.zst"
    assert file.entry.size_bytes == file.size_bytes == len(data)
    assert file.entry.sha256 == hashlib.sha256(data).hexdigest()
    assert file.read_bytes == len(content)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_is_compressed_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(CONTENT)
    entry = compress_file(tmp_path / "plain", tmp_path / "plain.zst", level=5, threads=2)
    assert entry.size_bytes == (tmp_path / "plain.zst").stat().st_size < len(CONTENT)
    with decompressed(tmp_path / "plain.zst") as stream:
        assert stream.read() == CONTENT


def test_what_is_there_is_never_written_over(whole: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(FileExistsError), Compressing(whole) as file:
        file.write(b"other")
    assert whole.read_bytes() == before


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Compressing(tmp_path / "x") as file:
        file.write(CONTENT)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_every_cut_is_found(whole: Path) -> None:
    data = whole.read_bytes()
    for length in [*range(40), *range(40, len(data), 997), *range(len(data) - 20, len(data))]:
        whole.write_bytes(data[:length])
        with pytest.raises(Undecodable, match=CUT), decompressed(whole):
            pass


def test_a_flipped_bit_is_found_or_changes_nothing(whole: Path) -> None:
    data, rng = whole.read_bytes(), random.Random(7)
    for _ in range(300):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        whole.write_bytes(flipped)
        if undecodable(whole) is None:  # a larger window, or the bit that means nothing
            with decompressed(whole) as stream:
                assert stream.read() == CONTENT


def test_a_flip_in_the_content_is_named(whole: Path) -> None:
    data = bytearray(whole.read_bytes())
    data[2000] ^= 1
    whole.write_bytes(data)
    assert undecodable(whole) == "the content differs from its checksum"


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (b"rubbish that is long", "there is no zstd frame at byte"),
        (b"junk", CUT),
        (zstandard.ZstdCompressor(write_checksum=False).compress(b"x"), "a frame has no checksum"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(b"x" * 999), None),
    ],
)
def test_what_follows_must_be_a_frame_too(whole: Path, extra: bytes, problem: str | None) -> None:
    with whole.open("ab") as file:
        file.write(extra)
    said = undecodable(whole)
    assert said == problem or (said and problem and problem in said)


def test_memory_is_bounded_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "zeros.zst"
    with Compressing(path) as file:
        for _ in range(256):
            file.write(bytes(1024 * 1024))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert undecodable(path) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 32 * 1024
