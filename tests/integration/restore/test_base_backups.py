"""Base backups are taken, proven, laid out again, and refused when they are not whole."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from shippyard.backup.engines import pg_basebackup
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.restore.physical import RestoreRefused
from shippyard.backup.verify import measured
from shippyard.host.process import Processes
from shippyard.postgres.tools import server_tools
from tests.integration.restore.base_ground import (
    Ground,
    NoWal,
    grounded,
    links_below,
    two_tablespaces,
)


@pytest.fixture(scope="module")
def ground(processes: Processes) -> Iterator[Ground]:
    with grounded(processes, server_tools(processes).major) as made:
        yield made


@pytest.fixture(autouse=True)
def empty_table(ground: Ground) -> None:
    ground.execute("TRUNCATE t")


def test_a_base_alone_restores_to_its_own_end(ground: Ground) -> None:
    ground.execute("INSERT INTO t SELECT generate_series(1, 1000)")
    base = ground.base()
    ground.execute("INSERT INTO t VALUES (1001)")
    with ground.restored(base, source=NoWal()) as back:
        assert back.rows() == list(range(1, 1001))
    manifest = base[1]
    assert manifest.source.dbname == ""
    assert manifest.wal_first == back.laid.wal[0]
    assert {f.name for f in manifest.files} == {
        "backup_manifest",
        "base.tar.zst",
        "pg_wal.tar.zst",
    }


def test_a_server_that_cannot_compress_is_compressed_here(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_basebackup, "SERVER_COMPRESSES_SINCE", 99)
    ground.execute("INSERT INTO t VALUES (1)")
    base = ground.base()
    assert "--compress" not in " ".join(base[1].made.argv)
    assert sorted(f.name for f in base[1].files) == [
        "backup_manifest",
        "base.tar.zst",
        "pg_wal.tar.zst",
    ]
    with ground.restored(base) as back:
        assert back.rows() == [1]


def test_tablespaces_never_lead_back_to_production(ground: Ground) -> None:
    with two_tablespaces(ground) as places:
        base = ground.base()
        ground.execute("CHECKPOINT")
        before = [fingerprint(place) for place in places]
        with ground.restored(base) as back:
            assert back.execute("SELECT count(*) FROM one") == [(100,)]
            back.execute("UPDATE one SET n = n + 1", "DROP TABLE two", "CHECKPOINT")
            links = [Path(link).resolve() for link in links_below(back.laid.data_dir)]
            assert sorted(links) == sorted(back.laid.tablespaces.values())
            home = back.laid.data_dir.parent
            assert all(home in link.parents for link in links)
            assert not (back.laid.data_dir / "tablespace_map").exists()
        assert [fingerprint(place) for place in places] == before


def test_tablespaces_go_where_each_is_told_to(ground: Ground) -> None:
    with two_tablespaces(ground):
        base, place = ground.base(), ground.place()
        oids = [name.split(".")[0] for f in base[1].files if (name := f.name)[0].isdigit()]
        assert len(oids) == 2
        with pytest.raises(RestoreRefused, match=f"tablespace {oids[1]} has no folder"):
            ground.lay_out(place, base, tablespaces={oids[0]: place / "x"})
        same = {oids[0]: place / "x", oids[1]: place / "x"}
        with pytest.raises(RestoreRefused, match="a folder of its own"):
            ground.lay_out(place, base, tablespaces=same)
        laid = ground.lay_out(place, base, tablespaces={oids[0]: place / "x", oids[1]: place / "y"})
        assert (laid.data_dir / "pg_tblspc" / oids[1]).readlink() == place / "y"


def test_a_folder_with_anything_in_it_is_refused(ground: Ground) -> None:
    base, place = ground.base(), ground.place()
    (place / "data").mkdir()
    (place / "data" / "PG_VERSION").write_text("15")
    with pytest.raises(RestoreRefused, match="is not empty: it holds PG_VERSION; give an empty"):
        ground.lay_out(place, base)
    assert (place / "data" / "PG_VERSION").read_text() == "15"


@pytest.mark.parametrize("name", ["base.tar.zst", "pg_wal.tar.zst", "backup_manifest"])
def test_damage_is_found_and_nothing_is_left(ground: Ground, name: str) -> None:
    folder, manifest = ground.base()
    whole = (folder / name).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    for content in (bytes(flipped), whole[:-7], whole[: len(whole) // 2]):
        (folder / name).write_bytes(content)
        place = ground.place()
        with pytest.raises(RestoreRefused, match="is damaged"):
            ground.lay_out(place, (folder, manifest))
        assert [path for path in place.rglob("*") if path.is_file()] == []


def test_another_content_in_a_whole_tar_is_found(ground: Ground) -> None:
    """The tar decodes and the compressed hash was taken of it: the server's manifest says no."""
    ground.execute("INSERT INTO t VALUES (1)")
    one, (folder, manifest) = ground.base(), ground.base()
    shutil.copyfile(one[0] / "base.tar.zst", folder / "base.tar.zst")
    files = measured(folder)
    problems = ground.engine().verify(folder, files)[1]
    assert any("checksum differs" in problem for problem in problems)
    with pytest.raises(RestoreRefused, match="is damaged"):
        ground.lay_out(ground.place(), (folder, replace(manifest, files=files)))


def test_wal_that_does_not_decode_is_found(ground: Ground) -> None:
    """The file is whole and its hash is right: only a look at the records tells."""
    one, (folder, _) = ground.base(), ground.base()
    ours = (folder / "pg_wal.tar.zst").read_bytes()
    shutil.copyfile(one[0] / "pg_wal.tar.zst", folder / "pg_wal.tar.zst")
    problems = ground.engine().verify(folder, measured(folder))[1]
    assert [each for each in problems if "is missing" in each]
    tar = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(ours))
    tar[512 + 60] ^= 1
    compressed = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(tar))
    (folder / "pg_wal.tar.zst").write_bytes(compressed)
    problems = ground.engine().verify(folder, measured(folder))[1]
    assert [each for each in problems if "can't be decoded" in each]


def test_a_role_without_rights_is_told_what_to_run(ground: Ground) -> None:
    ground.execute("CREATE ROLE poor LOGIN")
    poor = replace(ground.cluster.target(), user="poor")
    with pytest.raises(EngineFailed, match="ALTER ROLE poor REPLICATION"):
        ground.engine(poor).preflight()
    ground.execute("ALTER ROLE poor REPLICATION")
    ground.engine(poor).preflight()
    ground.execute("DROP ROLE poor")


def test_what_pg_basebackup_says_is_an_error_with_a_remedy(ground: Ground, tmp_path: Path) -> None:
    hba = ground.cluster.data_dir / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("local replication all reject\n" + before)
    ground.execute("SELECT pg_reload_conf()")
    engine = ground.engine()
    preflight = engine.preflight()
    try:
        with pytest.raises(EngineFailed, match=r"add to pg_hba\.conf: `local replication postgres"):
            engine.make(tmp_path, preflight, lambda _: None)
    finally:
        hba.write_text(before)
        ground.execute("SELECT pg_reload_conf()")


def test_tools_of_another_major_are_refused(ground: Ground) -> None:
    base = ground.base()
    other = replace(ground, tools=replace(ground.tools, major=ground.tools.major + 1))
    with pytest.raises(RestoreRefused, match=f"install postgresql-{ground.tools.major}"):
        other.lay_out(ground.place(), base)


def fingerprint(folder: Path) -> str:
    """Names, sizes, times and content of everything in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()
