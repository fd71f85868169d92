"""The manifest: there and back, and every way in which it can be refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
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
    rendered,
    signed_by,
    write_manifest,
)
from shippyard.host.signing import Signer, signer_in
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


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return signer_in(tmp_path / "keys")


def test_it_comes_back_as_it_went(manifest: Manifest, signer: Signer, tmp_path: Path) -> None:
    folder = tmp_path / "one" / NAME
    folder.mkdir(parents=True)
    write_manifest(folder, manifest, signer)
    assert read_manifest(folder, {signer.public_key}) == manifest
    assert manifest.size_bytes == 15
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_only_keys_that_are_trusted_are_believed(
    manifest: Manifest, signer: Signer, tmp_path: Path
) -> None:
    data = rendered(manifest, signer)
    other = signer_in(tmp_path / "other")
    assert signed_by(data) == signer.public_key
    assert parse_manifest(data, {other.public_key, signer.public_key}) == manifest
    with pytest.raises(ManifestUnusable, match="can't be trusted"):
        parse_manifest(data, {other.public_key})


def test_any_change_breaks_the_signature(manifest: Manifest, signer: Signer) -> None:
    data = rendered(manifest, signer)
    for before, after in ((b'"rows', b'"row '), (b"run-1", b"run-2"), (b"15.18", b"15.19")):
        changed = data.replace(before, after)
        if changed != data:
            with pytest.raises(ManifestUnusable, match="can't be trusted"):
                parse_manifest(changed, {signer.public_key})
    with pytest.raises(ManifestUnusable, match="was changed since it was written"):
        parse_manifest(data + b" ", {signer.public_key})


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
        (_set("version", 1), "version 1; this Shippyard reads version 2"),
        (_set("version", None), "version None"),
        (_set("surprise", 1), "surprise is wrong"),
        (_set("source.surprise", 1), "source.surprise is wrong"),
        (_set("kind", "wal"), "kind is wrong"),
        (_set("started_at", "2026-03-04T05:06:07"), "started_at is wrong"),
        (_set("files.0.name", "../../etc/passwd"), "name is wrong"),
        (_set("files.0.sha256", "short"), "sha256 is wrong"),
        (_set("files.0.size_bytes", -1), "size_bytes is wrong"),
    ],
)
def test_what_is_wrong_is_named(
    manifest: Manifest,
    signer: Signer,
    change: Callable[[dict[str, Any]], None],
    complaint: str,
) -> None:
    document = document_of(manifest)
    change(document)
    with pytest.raises(ManifestUnusable, match=complaint) as refused:
        parse_manifest(_signed(document, signer), {signer.public_key})
    assert "\n" not in str(refused.value)


def _signed(document: dict[str, Any], signer: Signer) -> bytes:
    """As the program would sign it."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    envelope = {"manifest": document, "signed": asdict(signer.sign(canonical))}
    return json.dumps(envelope, indent=1).encode() + b"\n"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"manifest": 1}'])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestUnusable, match="not a signed manifest"):
        parse_manifest(data, set())


def test_a_missing_one_says_where(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnusable, match=r"manifest.json: No such file"):
        read_manifest(tmp_path, set())


def test_the_manifest_of_another_backup_is_refused(
    manifest: Manifest, signer: Signer, tmp_path: Path
) -> None:
    folder = tmp_path / "two" / NAME
    folder.mkdir(parents=True)
    write_manifest(folder, manifest, signer)
    with pytest.raises(ManifestUnusable, match=f"holds the manifest of one/{NAME}"):
        read_manifest(folder, {signer.public_key})
