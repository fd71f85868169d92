"""Which base backups WAL is kept for: all that may be restored from, now or when they are back."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shippyard.backup.catalog import Catalog
from shippyard.backup.layout import Layout
from shippyard.backup.manifest import Made, Manifest, Source, Verification
from shippyard.backup.model import moved
from shippyard.backup.reconcile import notice, reconcile
from shippyard.backup.seal import Seal
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.bases import KeptBases
from shippyard.backup.wal.names import Segment
from shippyard.backup.wal.pruning import prune_wal
from shippyard.host.signing import signer_in
from shippyard.state.database import State
from tests.conftest import FakeClock
from tests.unit.backup.wal_files import SIZE, write_segment

SUBJECT = "@main"
DAY = timedelta(days=1)
KEPT_DAYS = 30


class Yard:
    """A folder with base backups and WAL of one cluster, seen by one daemon after the other."""

    def __init__(self, root: Path, state: State, clock: FakeClock) -> None:
        self.layout = Layout(root / "backups")
        self.archive = WalArchive(root / "backups", SUBJECT)
        self.archive.prepare()
        self.catalog = Catalog(state)
        self.clock = clock
        self._keys = root / "keys"
        for number in range(1, 10):
            self.archive.put(write_segment(root, number), clock.now())

    def seal(self, name: str = "first") -> Seal:
        signer = signer_in(self._keys / name)
        return Seal(signer, frozenset({signer.public_key}))

    def publish(self, number: int, *, days_ago: float = 0, seal: Seal | None = None) -> Manifest:
        """A base backup that needs WAL from a segment on, as a finished attempt leaves it."""
        at = self.clock.now() - days_ago * DAY
        manifest = Manifest(
            id=f"{at:%Y%m%dT%H%M%SZ}-base-{number:06x}",
            database=SUBJECT,
            kind="base",
            reason="schedule",
            held_by=None,
            started_at=at,
            finished_at=at,
            duration_s=1.0,
            source=Source("7", "17.10", "", None, None, 0),
            made=Made("pg_basebackup (PostgreSQL) 17.10", 17, ("pg_basebackup",)),
            files=(),
            verification=Verification("sha256", at, 0.1),
            wal_first=_name(number),
        )
        folder = self.layout.folder(SUBJECT, manifest.id)
        folder.mkdir(parents=True)
        (seal or self.seal()).write(folder, manifest)
        return manifest

    def prune(self, seal: Seal | None = None) -> list[int]:
        """Numbers of the segments that a daemon with this key leaves."""
        bases = KeptBases(self.catalog, self.layout, seal or self.seal())
        since = self.clock.now() - KEPT_DAYS * DAY
        users = bases.that_may_need(SUBJECT, since=since)
        prune_wal(self.archive, users, frozen=None, apply=True)
        return [number for number in range(1, 10) if _name(number) in self.archive.kept().entries]


def _name(number: int) -> str:
    return Segment(1, number).name(SIZE)


@pytest.fixture
def yard(tmp_path: Path, state: State, clock: FakeClock) -> Yard:
    return Yard(tmp_path, state, clock)


def test_wal_before_the_oldest_base_backup_goes(yard: Yard) -> None:
    for number, days_ago in ((3, 2), (6, 1)):
        yard.catalog.adopt(yard.publish(number, days_ago=days_ago))
    assert yard.prune() == [*range(3, 10)]


@pytest.mark.parametrize("gone_for_good", [False, True])
def test_wal_of_a_base_backup_that_is_away_stays_as_long_as_it_may_come_back(
    yard: Yard, *, gone_for_good: bool
) -> None:
    days_ago = KEPT_DAYS + 1 if gone_for_good else 2
    away = yard.publish(3, days_ago=days_ago)
    for manifest in (away, yard.publish(6, days_ago=1)):
        yard.catalog.adopt(manifest)
    folder = yard.layout.folder(SUBJECT, away.id)
    folder.rename(elsewhere := folder.with_name("elsewhere"))
    notice(yard.catalog, yard.layout, yard.seal())
    assert yard.prune() == [*range(6 if gone_for_good else 3, 10)]
    elsewhere.rename(folder)
    notice(yard.catalog, yard.layout, yard.seal())
    assert away.id in {each.id for each in yard.catalog.published(SUBJECT, "base")}


def test_wal_stays_while_the_key_of_a_base_backup_is_lost(yard: Yard) -> None:
    yard.catalog.adopt(yard.publish(3, days_ago=2))
    other = yard.seal("second")
    notice(yard.catalog, yard.layout, other)
    yard.catalog.adopt(yard.publish(6, days_ago=1, seal=other))
    assert yard.prune(other) == [*range(3, 10)]


def test_no_wal_goes_while_a_base_backup_lies_here_that_nobody_knows(yard: Yard) -> None:
    yard.publish(3, days_ago=2)
    other = yard.seal("second")
    yard.catalog.adopt(yard.publish(6, days_ago=1, seal=other))
    assert reconcile(yard.catalog, yard.layout, other).unknown == ()
    assert yard.prune(other) == [*range(1, 10)]


def test_wal_of_a_base_backup_that_is_being_deleted_goes(yard: Yard) -> None:
    old = yard.catalog.adopt(yard.publish(3, days_ago=2))
    yard.catalog.adopt(yard.publish(6, days_ago=1))
    yard.catalog.expire(old)
    assert yard.prune() == [*range(6, 10)]


def test_a_base_backup_that_failed_needs_nothing(yard: Yard) -> None:
    failed = yard.publish(3, days_ago=2)
    shutil.rmtree(yard.layout.folder(SUBJECT, failed.id))
    row = yard.catalog.adopt(yard.publish(6, days_ago=1))
    unfinished = replace(row, id=failed.id, state="running", held_by=None)
    yard.catalog.add(unfinished)
    yard.catalog.move(unfinished, moved(unfinished, "failed", "stopped"))
    assert yard.prune() == [*range(6, 10)]
