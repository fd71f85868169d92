"""A tar is read strictly, and its files are held against the server's manifest."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from shippyard.backup.engines.base_files import BaseUnusable, Nowhere, Walk
from shippyard.backup.engines.base_manifest import (
    BaseManifestUnusable,
    parse_base_manifest,
    parse_label,
)
from shippyard.backup.engines.tarball import Tarball, TarballUnusable

LABEL = b"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
CONTENT = {"backup_label": LABEL, "PG_VERSION": b"15\n", "base/1/2": bytes(range(256)) * 9000}


def manifest(files: dict[str, bytes], **changes: object) -> bytes:
    entries = [
        {
            "Path": name,
            "Size": len(data),
            "Checksum-Algorithm": "SHA256",
            "Checksum": hashlib.sha256(data).hexdigest(),
        }
        for name, data in files.items()
    ]
    document = {
        "PostgreSQL-Backup-Manifest-Version": 1,
        "Files": entries,
        "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}],
        **changes,
    }
    body = json.dumps(document)[:-1].encode() + b",\n"
    return body + f'"Manifest-Checksum": "{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def tar(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as opened:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
        for info in others:
            opened.addfile(info)
    return raw.getvalue()


def packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backup_manifest").write_bytes(manifest(CONTENT))
    (tmp_path / "base.tar.zst").write_bytes(packed(tar(CONTENT)))
    wal = {"000000010000000000000002": bytes(1 << 20), "00000002.history": b"1\t0/1\tx\n"}
    (tmp_path / "pg_wal.tar.zst").write_bytes(packed(tar(wal)))
    return tmp_path


def walk(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()]
    return Walk(folder, Nowhere(), jobs=2, breathe=lambda: None).run(names)[1]


def test_a_whole_backup_is_read_to_its_end(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    walked, problems = Walk(folder, Nowhere(), jobs=1, breathe=lambda: None).run(names)
    assert problems == []
    assert walked.server_major == 15
    assert walked.label.segment == "000000010000000000000002"
    assert (walked.wal, walked.wal_segment_bytes) == (("000000010000000000000002",), 1 << 20)
    for name, entry in walked.hashes.items():
        data = (folder / name).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base/1/2": b"short"}, "base/1/2: 5 bytes, backup_manifest says 2304000"),
        ({"base/1/2": bytes(2304000)}, "base/1/2: its checksum differs from backup_manifest's"),
        ({"base/1/3": b""}, "base/1/3 is not in backup_manifest"),
    ],
)
def test_files_that_are_not_the_manifests_are_named(
    folder: Path, changed: dict[str, bytes], said: str
) -> None:
    (folder / "base.tar.zst").write_bytes(packed(tar(CONTENT | changed)))
    assert walk(folder) == [said]


def test_a_missing_file_is_named_and_a_long_list_is_cut(folder: Path) -> None:
    more = {f"base/1/{n}": b"x" for n in range(10, 20)}
    (folder / "backup_manifest").write_bytes(manifest(CONTENT | more))
    problems = walk(folder)
    assert problems[0] == "base/1/10 is missing"
    assert problems[-1] == "5 more files are wrong"


def test_a_tablespace_is_held_against_its_oid(folder: Path) -> None:
    (folder / "16385.tar.zst").write_bytes(packed(tar({"PG_15/5/1": b"x"})))
    assert walk(folder) == ["pg_tblspc/16385/PG_15/5/1 is not in backup_manifest"]
    (folder / "backup_manifest").write_bytes(
        manifest(CONTENT | {"pg_tblspc/16385/PG_15/5/1": b"x"})
    )
    assert walk(folder) == []


@pytest.mark.parametrize("name", ["notes.txt", "x.tar.zst"])
def test_strange_files_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(BaseUnusable, match="not known"):
        walk(folder)


@pytest.mark.parametrize("name", ["base.tar.zst", "pg_wal.tar.zst", "backup_manifest"])
def test_missing_files_are_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises((BaseUnusable, BaseManifestUnusable)):
        walk(folder)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "info",
    [
        member("/etc/passwd"),
        member("../outside"),
        member("base/../../outside"),
        member("pg_tblspc/1", tarfile.SYMTYPE, "/srv/production"),
        member("base/1/9", tarfile.LNKTYPE, "base/1/2"),
        member("dev", tarfile.CHRTYPE),
    ],
)
def test_what_postgresql_never_writes_is_refused(folder: Path, info: tarfile.TarInfo) -> None:
    (folder / "base.tar.zst").write_bytes(packed(tar(CONTENT, info)))
    with pytest.raises(TarballUnusable, match="never writes"):
        walk(folder)


def test_every_cut_is_found(folder: Path) -> None:
    whole = packed(tar(CONTENT))
    for at in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        (folder / "base.tar.zst").write_bytes(whole[:at])
        with pytest.raises(TarballUnusable):
            walk(folder)


def test_a_tar_without_its_end_is_cut(folder: Path) -> None:
    (folder / "base.tar.zst").write_bytes(packed(tar(CONTENT).rstrip(b"\0")))
    with pytest.raises(TarballUnusable, match="cut off"):
        walk(folder)


def test_something_behind_the_end_is_refused(folder: Path) -> None:
    (folder / "base.tar.zst").write_bytes(packed(tar(CONTENT) + b"x"))
    with pytest.raises(TarballUnusable, match="goes on behind its end"):
        walk(folder)


def test_leaving_early_ends_the_thread(folder: Path) -> None:
    (folder / "base.tar.zst").write_bytes(packed(tar({"big": bytes(64 << 20)})))
    with Tarball(folder / "base.tar.zst") as opened:
        next(opened.parts())
    assert not opened._thread.is_alive()


def test_other_wal_names_are_refused(folder: Path) -> None:
    (folder / "pg_wal.tar.zst").write_bytes(packed(tar({"standby.signal": b""})))
    with pytest.raises(TarballUnusable, match="which is no WAL"):
        walk(folder)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (manifest(CONTENT).replace(b"base/1/2", b"base/1/3"), "its own checksum does not fit"),
        (manifest(CONTENT)[:-20], "is cut off"),
        (manifest(CONTENT, **{"PostgreSQL-Backup-Manifest-Version": 3}), "is of version 3"),
        (manifest(CONTENT, **{"WAL-Ranges": []}), "names no WAL"),
        (manifest(CONTENT, Files=[{"Path": "x"}]), "has a checksum of kind None"),
        (manifest(CONTENT, **{"WAL-Ranges": [{"Timeline": 1}]}), "can't be read"),
    ],
)
def test_a_manifest_that_can_not_be_relied_on_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BaseManifestUnusable) as refused:
        parse_base_manifest(data)
    assert said in str(refused.value)


def test_names_that_are_not_utf8_are_decoded_as_the_tars_are() -> None:
    entry = {"Encoded-Path": "62ff", "Size": 0, "Checksum-Algorithm": "SHA256", "Checksum": ""}
    assert list(parse_base_manifest(manifest({}, Files=[entry])).files) == ["b\udcff"]


def test_a_label_without_a_beginning_is_refused() -> None:
    with pytest.raises(BaseManifestUnusable, match="where recovery begins"):
        parse_label("LABEL: x\n")
