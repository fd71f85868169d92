"""Backups that another engine keeps: when they are refused, and what is left of a bad lay-out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.manifest import Made, Manifest, Source, Verification
from shippyard.backup.restore.elsewhere import (
    RepositoryWal,
    lay_out_elsewhere,
    repository_holding,
)
from shippyard.backup.restore.physical import RestoreRefused, WalUnusable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEGMENT = "000000010000000000000003"
LABEL = f"START WAL LOCATION: 0/3000028 (file {SEGMENT})\n"
SOURCE = Source("7", "15.18", "", "0/3000028", None, 0, timeline=1, lsn_at_end="0/3000138")
BASE = Manifest(
    id="20260301T120000Z-base-aaaaaa",
    database="@main",
    kind="base",
    reason="schedule",
    held_by=None,
    started_at=NOON,
    finished_at=NOON,
    duration_s=1.0,
    source=SOURCE,
    made=Made("2.55", 15, (), "pgbackrest"),
    files=(),
    verification=Verification("verify", NOON, 1.0),
    wal_first=SEGMENT,
    external="20260301-120000F",
)


def nothing(_: Path) -> None:
    pass


@dataclass
class Fake:
    """A repository that writes what a test wants; only for what is decided from its answers."""

    name: str = "pgbackrest"
    label: str = LABEL
    more: Callable[[Path], None] = nothing
    names: list[str] = field(default_factory=lambda: [SEGMENT])
    listed: int = 0

    def segments(self) -> list[str]:
        self.listed += 1
        return self.names

    def fetch(self, name: str, into: Path, data_dir: Path) -> None:
        raise EngineFailed(f"no {name} for {data_dir.name} in {into.parent.name}")

    def lay_out(self, label: str, data_dir: Path, tablespaces: Path) -> None:
        assert label == BASE.external
        (data_dir / "pg_tblspc").mkdir()
        (data_dir / "backup_label").write_text(self.label)
        (tablespaces / "16400").mkdir()
        (data_dir / "pg_tblspc" / "16400").symlink_to(tablespaces / "16400")
        (data_dir / "standby.signal").touch()
        self.more(data_dir)


def laid_out(fake: Fake, folder: Path, base: Manifest = BASE) -> Any:
    repository: Any = fake
    return lay_out_elsewhere(repository, base, folder / "data", folder / "spaces", account=None)


def test_what_was_laid_out_is_described_and_begins_no_other_recovery(tmp_path: Path) -> None:
    laid = laid_out(Fake(), tmp_path)
    assert (laid.timeline, laid.lsn_at_start, laid.lsn_at_end) == (1, 0x3000028, 0x3000138)
    assert laid.segment_bytes == 16 * 1024 * 1024
    assert laid.tablespaces == {"16400": tmp_path / "spaces" / "16400"}
    assert laid.dropped == ("standby.signal",)
    assert not (tmp_path / "data" / "standby.signal").exists()


def stray(data_dir: Path) -> None:
    (data_dir / "pg_tblspc" / "16401").symlink_to("/srv/production")


def broken(_: Path) -> None:
    raise EngineFailed("checksum error")


@pytest.mark.parametrize(
    ("fake", "why"),
    [
        (Fake(more=stray), "tablespace 16401 was laid out in /srv/production, not in"),
        (Fake(more=broken), "checksum error"),
        (Fake(label=LABEL.replace("03)", "04)")), "begins in 000000010000000000000004"),
        (Fake(label=""), "does not say where recovery begins"),
    ],
)
def test_another_backup_or_one_outside_is_refused_and_taken_away(
    fake: Fake, why: str, tmp_path: Path
) -> None:
    with pytest.raises(RestoreRefused, match=why):
        laid_out(fake, tmp_path)
    assert list((tmp_path / "data").iterdir()) == []
    assert list((tmp_path / "spaces").iterdir()) == []


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine").touch()
    with pytest.raises(RestoreRefused, match="is not empty: it holds mine"):
        laid_out(Fake(), tmp_path)
    assert (tmp_path / "spaces" / "mine").exists()


def test_one_list_of_wal_for_one_recovery_and_damage_is_named(tmp_path: Path) -> None:
    fake: Any = Fake()
    wal = RepositoryWal(fake, tmp_path / "data")
    assert wal.segments() == wal.segments() == (SEGMENT,)
    assert fake.listed == 1
    assert wal.fetch("000000010000000000000009", tmp_path / "x") is False
    with pytest.raises(WalUnusable, match=f"{SEGMENT}: no {SEGMENT} for data"):
        wal.fetch(SEGMENT, tmp_path / "x")


def test_the_repository_must_be_the_one_of_the_record() -> None:
    right: Any = Fake()
    other: Any = Fake(name="barman")
    assert repository_holding(BASE, lambda _: right) is right
    assert repository_holding(replace(BASE, external=None), lambda _: right) is None
    for found in (other, None):
        with pytest.raises(RestoreRefused, match=r"\[backup.clusters.main\]"):
            repository_holding(BASE, lambda _, found=found: found)  # type: ignore[misc]  # a default
