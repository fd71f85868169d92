"""The service: what is published gets its copy, is told of, and goes when nobody wants it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shippyard.backup.keepable import Clockwork
from shippyard.backup.model import Backup, BackupFailed
from shippyard.backup.offsite import methods
from shippyard.backup.offsite.copies import Copies
from shippyard.backup.offsite.objects import Kept, OffsiteFailed
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.offsite.place import Place
from shippyard.backup.offsite.service import OffsiteCopies
from shippyard.backup.seal import Seal
from shippyard.config.models import Keep
from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually, FakeClock
from tests.integration.offsite.conftest import Publish, Published
from tests.integration.offsite.watched_store import WatchedStore

KEEP = Keep(days=3, daily=0, weekly=0, monthly=0, at_least=1)
BASE = "20260304T050607Z-base-1a2b3c"


class Kept_:  # noqa: N801  what the catalogue of backups would answer
    def __init__(self, root: Path) -> None:
        self.root = root
        self.backups: dict[str, Backup] = {}
        self.marked: list[str] = []
        self.why_frozen: str | None = None

    def add(self, one: Published) -> Backup:
        manifest = one.manifest
        backup = Backup(
            manifest.id,
            manifest.database,
            manifest.kind,
            "published",
            manifest.reason,
            manifest.started_at,
            manifest.finished_at,
        )
        self.backups[backup.id] = backup
        return backup

    def history(self, database: str | None = None) -> list[Backup]:
        found = [b for b in self.backups.values() if database in {None, b.database}]
        return sorted(found, key=lambda backup: backup.started_at, reverse=True)

    def frozen(self) -> str | None:
        return self.why_frozen

    def find(self, backup_id: str) -> Backup:
        if backup_id not in self.backups:
            raise BackupFailed(f"no backup {backup_id}")
        return self.backups[backup_id]

    def path(self, backup: Backup) -> Path:
        return self.root / backup.database / backup.id

    def mark_replicated(self, backup_id: str, at: datetime, where: str = "") -> Backup:
        self.marked.append(backup_id)
        marked = replace(self.backups[backup_id], state="replicated", replicated_at=at)
        self.backups[backup_id] = marked
        return marked


class Scene:
    """A service and all around it."""

    def __init__(
        self, place: Offsite, state: State, seal: Seal, clock: FakeClock, root: Path
    ) -> None:
        self.backups = Kept_(root)
        self.copies = Copies(state, place.place)
        self.metrics = Metrics()
        self.told: list[Condition] = []
        self.beats = 0
        self.place = Place(
            place,
            self.copies,
            self.backups,
            KEEP,
            clock=clock,
            look_at_clock=lambda _: Clockwork(),
        )
        self.service = OffsiteCopies(
            place,
            self.place,
            self.copies,
            self.backups,
            seal=seal,
            metrics=self.metrics,
            clock=clock,
            tell=self.told.append,
            beat=self.beat,
        )

    def beat(self) -> None:
        self.beats += 1

    def states(self) -> dict[str, str]:
        return {record.backup_id: record.state for record in self.copies.all()}

    def newest(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "shippyard_backup_offsite_last_success_timestamp_seconds",
            {"database": "shop", "kind": "dump"},
        )


@pytest.fixture
def scene(place: Offsite, state: State, seal: Seal, clock: FakeClock, tmp_path: Path) -> Scene:
    return Scene(place, state, seal, clock, tmp_path / "backups")


def aged(publish: Publish, clock: FakeClock, days: float) -> Published:
    at = clock.now() - timedelta(days=days)
    return publish(f"{at:%Y%m%dT%H%M%SZ}-dump-0a0b0c", at=at)


def test_what_is_published_gets_its_copy(
    scene: Scene, publish: Publish, clock: FakeClock, place: Offsite
) -> None:
    old, new = (scene.backups.add(aged(publish, clock, days)) for days in (1, 0))
    scene.service.look()
    assert scene.backups.marked == [new.id, old.id]
    assert scene.states() == {new.id: "verified", old.id: "verified"}
    assert [found.backup_id for found in place.list()] == [new.id, old.id]
    assert scene.newest() == new.started_at.timestamp()
    assert scene.told == [
        Condition("offsite_failed", "shop", None, evidence={"place": place.place})
    ]
    assert scene.beats > 10
    scene.service.look()
    assert len(scene.backups.marked) == 2


def test_a_store_that_fails_is_given_rest_and_told_of_the_third_time(
    scene: Scene, published: Published, clock: FakeClock, store: WatchedStore
) -> None:
    backup = scene.backups.add(published)
    store.cut_after(0)
    for tried, pause_s in enumerate((30, 60, 120), 1):
        scene.service.look()
        scene.service.look()
        failed = scene.metrics.offsite_errors.labels("copy")._value.get()
        assert failed == tried
        assert len(scene.told) == (1 if tried == 3 else 0)
        clock.advance(pause_s)
    assert scene.told[0].summary == (
        f"shop: no copy of {backup.id} off the machine: the line is cut"
    )
    assert scene.states() == {backup.id: "failed"}
    store.on_put = lambda _, data: data
    scene.service.look()
    assert scene.states() == {backup.id: "verified"}
    assert scene.told[-1].summary is None


def test_what_waits_for_its_copy_is_known_also_while_the_store_rests(
    scene: Scene, publish: Publish, clock: FakeClock, store: WatchedStore
) -> None:
    first = scene.backups.add(aged(publish, clock, 1))
    assert scene.service.waiting() == [first]
    store.cut_after(0)
    scene.service.look()
    second = scene.backups.add(aged(publish, clock, 0))
    assert scene.service.waiting() == [second, first]
    store.on_put = lambda _, data: data
    clock.advance(60)
    scene.service.look()
    assert scene.service.waiting() == []


def test_a_store_that_rests_is_asked_for_no_other_backup(
    scene: Scene, publish: Publish, clock: FakeClock, store: WatchedStore
) -> None:
    for days in (1, 0):
        scene.backups.add(aged(publish, clock, days))
    store.cut_after(0)
    scene.service.look()
    scene.service.look()
    assert list(scene.states().values()) == ["failed"]


def test_what_trying_does_not_help_is_told_at_once(
    scene: Scene, published: Published, store: WatchedStore
) -> None:
    scene.backups.add(published)

    def refuse(_key: str, _data: bytes) -> bytes:
        raise OffsiteFailed("wrong secret", lasting=True)

    store.on_put = refuse
    scene.service.look()
    assert "wrong secret" in str(scene.told[0].summary)


def test_one_that_is_damaged_here_keeps_no_other_from_its_copy(
    scene: Scene, publish: Publish, clock: FakeClock
) -> None:
    bad, good = aged(publish, clock, 0), aged(publish, clock, 1)
    (bad.folder / "shop.dump").write_bytes(b"no longer")
    scene.backups.add(bad)
    scene.backups.add(good)
    scene.service.look()
    assert scene.states() == {bad.manifest.id: "failed", good.manifest.id: "verified"}
    assert "is not what was published" in str(scene.told[0].summary)


def test_copies_go_by_their_own_policy_and_stay_gone(
    scene: Scene, publish: Publish, clock: FakeClock, place: Offsite
) -> None:
    old = scene.backups.add(aged(publish, clock, 2))
    scene.service.look()
    clock.advance(2 * 24 * 3600)
    new = scene.backups.add(aged(publish, clock, 0))
    scene.service.look()
    pruned = scene.service.prune(apply=False)
    assert (pruned.deleted, len(pruned.decisions)) == ((), 2)
    pruned = scene.service.prune(apply=True)
    assert pruned.deleted == (old.id,)
    assert scene.states() == {new.id: "verified", old.id: "deleted"}
    assert [found.backup_id for found in place.list()] == [new.id]
    scene.service.look()
    assert scene.states()[old.id] == "deleted"


def test_what_the_bucket_keeps_is_no_error(
    scene: Scene, publish: Publish, clock: FakeClock, store: WatchedStore, place: Offsite
) -> None:
    old = scene.backups.add(aged(publish, clock, 2))
    scene.service.look()
    clock.advance(2 * 24 * 3600)
    scene.backups.add(aged(publish, clock, 0))
    scene.service.look()
    store.locked = lambda _: Kept(clock.now() + timedelta(days=7))
    pruned = scene.service.prune(apply=True)
    assert pruned.kept_by_store == ((old.id, "kept by the bucket until 2026-03-13 05:06Z"),)
    assert scene.states()[old.id] == "verified"
    assert len(place.list()) == 2
    store.locked = lambda _: None
    assert scene.service.prune(apply=True).deleted == (old.id,)


def test_a_deletion_that_was_cut_is_finished(
    scene: Scene, publish: Publish, clock: FakeClock, store: WatchedStore, bucket: Path
) -> None:
    old = scene.backups.add(aged(publish, clock, 2))
    scene.service.look()
    clock.advance(2 * 24 * 3600)
    scene.backups.add(aged(publish, clock, 0))
    scene.service.look()

    def broken(key: str) -> Kept | None:
        if "parts" in key:
            raise OffsiteFailed("the line is cut")
        return None

    store.locked = broken
    with pytest.raises(BackupFailed, match="the line is cut"):
        scene.service.prune(apply=True)
    assert scene.states()[old.id] == "expired"
    store.locked = lambda _: None
    scene.service.prune(apply=True)
    assert scene.states()[old.id] == "deleted"
    assert not [path for path in bucket.rglob(f"{old.id}/**/*") if path.is_file()]


def test_a_lost_table_is_filled_from_the_store(
    scene: Scene, published: Published, place: Offsite, clock: FakeClock
) -> None:
    backup = scene.backups.add(published)
    place.send(published.folder, published.manifest)
    scene.service.look()
    record = scene.copies.get(backup.id)
    assert record is not None
    assert (record.state, record.verified_at) == ("verified", clock.now())
    assert scene.backups.marked == [backup.id]


def test_a_copy_that_vanished_is_made_again(
    scene: Scene, published: Published, place: Offsite, clock: FakeClock
) -> None:
    backup = scene.backups.add(published)
    scene.service.look()
    place.delete(backup.id)
    clock.advance(25 * 3600)
    scene.service.look()
    assert scene.states() == {backup.id: "verified"}
    assert len(place.list()) == 1


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_copy_that_lost_a_part_is_mended(
    scene: Scene, published: Published, place: Offsite, bucket: Path, *, how: str
) -> None:
    backup = scene.backups.add(published)
    scene.service.look()
    part = next((bucket / "shop" / backup.id / "parts").iterdir())
    content = part.read_bytes()
    part.unlink() if how == "gone" else part.write_bytes(content[:-1])
    problem = place.find(backup.id).problem
    said = "is gone" if how == "gone" else f"has {len(content) - 1} bytes"
    assert problem == f"not complete: parts/{part.name} {said}"
    scene.service.prune(apply=True)
    scene.service.look()
    assert scene.states() == {backup.id: "verified"}
    assert part.read_bytes() == content


def test_wal_goes_when_no_base_copy_needs_it(
    scene: Scene, publish: Publish, place: Offsite, tmp_path: Path, clock: FakeClock
) -> None:
    needed, older = "000000010000000000000007", "000000010000000000000006"
    base = publish(BASE, "@main", kind="base", wal_first=needed)
    scene.backups.add(base)
    for name in (older, needed, "00000002.history"):
        (tmp_path / "wal").write_bytes(name.encode())
        place.put_wal("@main", name, tmp_path / "wal")
    assert scene.service.prune(apply=True).wal_deleted == 0
    scene.service.look()
    assert scene.service.prune(apply=True).wal_deleted == 1
    assert place.wal_source("@main").names() == [needed, "00000002.history"]
    clock.advance(9 * 24 * 3600)
    later = publish(
        "20260313T050607Z-base-1a2b3c", "@main", kind="base", wal_first="000000010000000000000009"
    )
    scene.backups.add(later)
    scene.service.replicate(later.manifest.id)
    pruned = scene.service.prune(apply=True)
    assert (pruned.deleted, pruned.wal_deleted) == ((BASE,), 1)
    assert place.wal_source("@main").names() == ["00000002.history"]


def test_a_parent_stays_though_the_catalogue_and_what_was_here_are_lost(
    scene: Scene, publish: Publish, place: Offsite, clock: FakeClock
) -> None:
    ids: list[str] = []
    for days_ago in (9, 2, 0):
        at = clock.now() - timedelta(days=days_ago)
        parent = ids[-1] if ids else None
        made = publish(f"{at:%Y%m%dT%H%M%SZ}-base-0a0b0c", "@main", at, kind="base", parent=parent)
        place.send(made.folder, made.manifest)
        ids.append(made.manifest.id)
    assert scene.service.prune(apply=True).deleted == ()
    assert [found.backup_id for found in place.list()] == ids[::-1]


def test_another_engines_backup_is_left_to_it(scene: Scene, publish: Publish) -> None:
    scene.backups.add(publish(BASE, "@main", kind="base", external="20260304-F"))
    scene.service.look()
    assert scene.states() == {}
    with pytest.raises(BackupFailed, match="another engine's repository"):
        scene.service.replicate(BASE)


def test_it_works_in_the_background_and_stops_in_the_middle(
    scene: Scene, published: Published, store: WatchedStore, eventually: Eventually
) -> None:
    scene.backups.add(published)
    reached, go_on = threading.Event(), threading.Event()

    def slow(key: str, data: bytes) -> bytes:
        reached.set()
        go_on.wait(10)
        return data

    store.on_put = slow
    scene.service.start()
    assert reached.wait(10)
    threading.Timer(0.2, go_on.set).start()
    scene.service.stop()
    scene.service.stop()
    assert scene.states() == {published.manifest.id: "uploading"}
    assert scene.told == []


def test_stopping_before_starting_is_fine(scene: Scene) -> None:
    scene.service.stop()
    scene.service.start()
    scene.service.stop()


class Said:
    def progress(self, fields: Document) -> None: ...

    def item(self, fields: Document) -> None: ...


class TestMethods:
    @pytest.fixture
    def ask(self, scene: Scene) -> Callable[..., Document]:
        by_name = {method.name: method for method in methods.build(scene.service)}

        def call(name: str, **params: object) -> Document:
            peer = Peer(0, "root", frozenset({"operator"}))
            return by_name[name].run(Call(params, peer, Said()))

        return call

    def test_a_copy_is_made_and_shown(
        self, scene: Scene, published: Published, ask: Callable[..., Document]
    ) -> None:
        backup = scene.backups.add(published)
        copied = ask("backup.replicate", id=backup.id)
        assert (copied["parts"], copied["kept_parts"]) == (7, 0)
        assert copied["protection"]["state"] == "none"
        listed = ask("backup.copies")
        assert [(c["backup_id"], c["state"]) for c in listed["copies"]] == [(backup.id, "verified")]
        shown = ask("backup.copies", id=backup.id)
        assert shown["store"]["problem"] is None
        assert shown["store"]["parts"] == 7

    def test_what_can_not_be_is_said_in_one_line(
        self, scene: Scene, published: Published, ask: Callable[..., Document], bucket: Path
    ) -> None:
        backup = scene.backups.add(published)
        with pytest.raises(MethodError, match="no backup nothing"):
            ask("backup.replicate", id="nothing")
        with pytest.raises(MethodError, match="has no copy of") as refused:
            ask("backup.copies", id=backup.id)
        assert refused.value.code == "usage"
        bucket.rmdir()
        with pytest.raises(MethodError, match="is it mounted"):
            ask("backup.replicate", id=backup.id)

    def test_without_a_place_it_is_said_how_to_name_one(self) -> None:
        for method in methods.build(None):
            peer = Peer(0, "root", frozenset({"operator"}))
            with pytest.raises(MethodError, match=r"\[backup\.offsite\]"):
                method.run(Call({}, peer, Said()))
