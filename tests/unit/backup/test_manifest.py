"""The manifest: there and back, and every way in which it can be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.manifest import (
    FILE_NAME,
    FileEntry,
    Made,
    Manifest,
    ManifestUnusable,
    Source,
    Verification,
    document_of,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from tests.conftest import FakeClock

NAME = "20260304T050607Z-dump-1a2b3c"


@pytest.fixture
def manifest(clock: FakeClock) -> Manifest:
    return Manifest(
        id=NAME,
        database="one",
        kind="dump",
        reason="pre_migration",
        held_by="run-1",
        started_at=clock.now(),
        finished_at=clock.now(),
        duration_s=1.5,
        source=Source("7", "15.18", "one", "0/1", "0003", 12),
        made=Made("pg_dump (PostgreSQL) 15.18", 15, ("pg_dump", "--format=custom")),
        files=(FileEntry("one.dump", 10, "a" * 64), FileEntry("b.dump", 5, "b" * 64)),
        verification=Verification("sha256, full decode", clock.now(), 0.5),
    )


def test_it_comes_back_as_it_went(manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "one" / NAME
    folder.mkdir(parents=True)
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    assert manifest.size_bytes == 15
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_set("version", 2), "version 2; this Shippyard reads version 1"),
        (_set("version", None), "version None"),
        (_set("surprise", 1), "surprise is wrong"),
        (_set("source.surprise", 1), "source.surprise is wrong"),
        (_set("kind", "base"), "kind is wrong"),
        (_set("started_at", "2026-03-04T05:06:07"), "started_at is wrong"),
        (_set("files", []), "files is wrong"),
        (_set("files.0.name", "../../etc/passwd"), "name is wrong"),
        (_set("files.0.sha256", "short"), "sha256 is wrong"),
        (_set("files.0.size_bytes", -1), "size_bytes is wrong"),
    ],
)
def test_what_is_wrong_is_named(
    manifest: Manifest, change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    document = document_of(manifest)
    change(document)
    with pytest.raises(ManifestUnusable, match=complaint) as refused:
        parse_manifest(json.dumps(document).encode())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe"])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestUnusable):
        parse_manifest(data)


def test_a_missing_one_says_where(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnusable, match=r"manifest.json: No such file"):
        read_manifest(tmp_path)


def test_the_manifest_of_another_backup_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "two" / NAME
    folder.mkdir(parents=True)
    write_manifest(folder, manifest)
    with pytest.raises(ManifestUnusable, match=f"holds the manifest of one/{NAME}"):
        read_manifest(folder)
