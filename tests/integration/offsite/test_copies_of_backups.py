"""Copies: there and back, cut and gone on with, changed on the way, encrypted, deleted."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shippyard.backup.manifest import FILE_NAME
from shippyard.backup.offsite.age import KeyLost, key_id_of
from shippyard.backup.offsite.objects import Kept, OffsiteFailed, SourceDamaged
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.seal import Seal
from shippyard.host.signing import signer_in
from tests.conftest import FakeClock
from tests.integration.offsite.conftest import PART_BYTES, Keys, Places, Publish, Published
from tests.integration.offsite.watched_store import WatchedStore

PARTS = 7  # six of the dump, one of the table of contents; an empty file has none


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def a_part(bucket: Path, number: int = 3) -> Path:
    return next(bucket.glob(f"shop/*/parts/{number:06d}.*"))


def test_what_comes_back_is_what_was_published(
    place: Offsite, published: Published, tmp_path: Path
) -> None:
    copy = place.send(published.folder, published.manifest)
    assert (copy.parts, copy.kept_parts, copy.mended_parts) == (PARTS, 0, 0)
    assert copy.sent_bytes == copy.stored_bytes == published.manifest.size_bytes
    back = place.fetch(published.manifest.id, tmp_path / "back")
    assert back == tmp_path / "back" / "shop" / published.manifest.id
    assert contents(back) == contents(published.folder)
    assert {path.stat().st_mode & 0o777 for path in back.rglob("*")} <= {0o600, 0o700}


def test_every_part_is_read_back(place: Offsite, published: Published, store: WatchedStore) -> None:
    place.send(published.folder, published.manifest)
    sent = [key for key in store.put_keys if "/parts/" in key or key.endswith(".json")]
    assert len(sent) == PARTS + 2
    assert set(sent) <= set(store.got_keys)


def test_the_manifest_is_sent_last(
    place: Offsite, published: Published, store: WatchedStore
) -> None:
    place.send(published.folder, published.manifest)
    copied = [key for key in store.put_keys if key.startswith("shop/")]
    assert copied[-2].endswith("/index.json")
    assert copied[-1].endswith("/manifest.json")


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_upload_that_was_cut_goes_on(
    place_of: Places, keys: Keys, published: Published, store: WatchedStore, *, encrypted: bool
) -> None:
    place = place_of(*([keys.first] if encrypted else []))
    store.cut_after(4)
    with pytest.raises(OffsiteFailed, match="the line is cut"):
        place.send(published.folder, published.manifest)
    assert [found.problem for found in place.list()] == ["not complete: it has no manifest"]
    store.on_put = lambda _, data: data
    there = len(list(store.below("shop")))
    store.put_keys.clear()
    copy = place.send(published.folder, published.manifest)
    assert copy.kept_parts == there == 4
    assert len([key for key in store.put_keys if "/parts/" in key]) == PARTS - there
    assert [found.problem for found in place.list()] == [None]


def test_a_part_that_arrived_changed_is_sent_again(
    place: Offsite, published: Published, store: WatchedStore, tmp_path: Path
) -> None:
    lies = iter([True])
    store.on_put = lambda key, data: (
        b"x" + data[1:] if "/parts/" in key and next(lies, False) else data
    )
    place.send(published.folder, published.manifest)
    assert len([key for key in store.put_keys if "/parts/" in key]) == PARTS + 1
    place.fetch(published.manifest.id, tmp_path / "back")


def test_a_store_that_keeps_something_else_has_no_copy(
    place: Offsite, published: Published, store: WatchedStore
) -> None:
    store.on_put = lambda key, data: b"x" + data[1:] if "/parts/000002" in key else data
    with pytest.raises(OffsiteFailed, match="reads back as something else, 2 times"):
        place.send(published.folder, published.manifest)
    assert place.list()[0].problem == "not complete: it has no manifest"


def test_a_part_that_changed_in_the_store_is_mended(
    place: Offsite, published: Published, bucket: Path, tmp_path: Path
) -> None:
    place.send(published.folder, published.manifest)
    flip(a_part(bucket))
    with pytest.raises(OffsiteFailed, match=r"parts/000003\..* was changed or cut"):
        place.fetch(published.manifest.id, tmp_path / "back")
    copy = place.send(published.folder, published.manifest)
    assert (copy.kept_parts, copy.mended_parts, copy.sent_bytes) == (PARTS - 1, 1, PART_BYTES)
    place.fetch(published.manifest.id, tmp_path / "back")


def test_a_good_copy_is_not_written_over(
    place: Offsite, published: Published, store: WatchedStore
) -> None:
    place.send(published.folder, published.manifest)
    store.put_keys.clear()
    assert place.send(published.folder, published.manifest).sent_bytes == 0
    assert not [key for key in store.put_keys if key.startswith("shop/")]


def test_what_is_damaged_here_is_not_copied(place: Offsite, published: Published) -> None:
    flip(published.folder / "shop.dump")
    with pytest.raises(SourceDamaged, match=r"shop\.dump is not what was published"):
        place.send(published.folder, published.manifest)
    assert place.list()[0].index is None


def test_a_fetch_that_was_cut_goes_on(
    place: Offsite, published: Published, store: WatchedStore, bucket: Path, tmp_path: Path
) -> None:
    place.send(published.folder, published.manifest)
    good = a_part(bucket, 5).read_bytes()
    a_part(bucket, 5).write_bytes(b"cut")
    with pytest.raises(OffsiteFailed):
        place.fetch(published.manifest.id, tmp_path / "back")
    assert not (tmp_path / "back" / "shop" / published.manifest.id).exists()
    a_part(bucket, 5).write_bytes(good)
    store.got_keys.clear()
    back = place.fetch(published.manifest.id, tmp_path / "back")
    assert len([key for key in store.got_keys if "/parts/" in key]) < PARTS - 2
    assert contents(back) == contents(published.folder)


def test_what_was_fetched_is_not_fetched_again(
    place: Offsite, published: Published, store: WatchedStore, tmp_path: Path
) -> None:
    place.send(published.folder, published.manifest)
    back = place.fetch(published.manifest.id, tmp_path / "back")
    store.got_keys.clear()
    assert place.fetch(published.manifest.id, tmp_path / "back") == back
    assert not [key for key in store.got_keys if "/parts/" in key]
    flip(back / "shop.dump")
    with pytest.raises(OffsiteFailed, match="is not what its manifest says"):
        place.fetch(published.manifest.id, tmp_path / "back")


def test_an_index_that_was_changed_is_not_believed(
    place: Offsite, published: Published, bucket: Path
) -> None:
    place.send(published.folder, published.manifest)
    index = next(bucket.glob("shop/*/index.json"))
    document = json.loads(index.read_bytes())
    document["document"]["size_bytes"] -= 1
    index.write_text(json.dumps(document))
    assert "can't be trusted" in str(place.list()[0].problem)


def test_a_copy_of_a_stranger_is_not_believed(
    place: Offsite, place_of: Places, published: Published, tmp_path: Path
) -> None:
    place.send(published.folder, published.manifest)
    signer = signer_in(tmp_path / "others")
    stranger = place_of(seal_=Seal(signer, frozenset({signer.public_key})))
    assert "not trusted here" in str(stranger.list()[0].problem)
    with pytest.raises(OffsiteFailed, match=r"backup\.trusted_keys"):
        stranger.fetch(published.manifest.id, tmp_path / "back")


def test_a_backup_that_is_not_there(place: Offsite, tmp_path: Path) -> None:
    with pytest.raises(OffsiteFailed, match="has no copy of nothing; see `shippyard ctl"):
        place.fetch("nothing", tmp_path)


def test_a_place_that_is_not_mounted_is_not_made(
    place: Offsite, published: Published, bucket: Path
) -> None:
    bucket.rmdir()
    with pytest.raises(OffsiteFailed, match="is it mounted"):
        place.send(published.folder, published.manifest)
    assert not bucket.exists()


class TestEncrypted:
    """What leaves the machine is for the holders of keys alone."""

    def test_nothing_in_the_store_can_be_read(
        self, place_of: Places, keys: Keys, published: Published, bucket: Path
    ) -> None:
        copy = place_of(keys.first, keys.second).send(published.folder, published.manifest)
        assert copy.key_ids == (key_id_of(keys.first), key_id_of(keys.second))
        plain = (published.folder / "shop.dump").read_bytes()[:64]
        stored = [path for path in bucket.rglob("*") if path.is_file()]
        assert not [path for path in stored if plain in path.read_bytes()]
        assert not [path for path in stored if path.name == FILE_NAME]

    @pytest.mark.parametrize("left", ["first", "second"])
    def test_one_of_two_keys_is_enough(
        self, place_of: Places, keys: Keys, published: Published, tmp_path: Path, left: str
    ) -> None:
        place_of(keys.first, keys.second).send(published.folder, published.manifest)
        back = place_of(identity=left).fetch(published.manifest.id, tmp_path / "back")
        assert contents(back) == contents(published.folder)

    @pytest.mark.parametrize("identity", [None, "second", "none such"])
    def test_without_a_key_the_needed_ones_are_named(
        self,
        place_of: Places,
        keys: Keys,
        published: Published,
        tmp_path: Path,
        identity: str | None,
    ) -> None:
        place_of(keys.first).send(published.folder, published.manifest)
        blind = place_of(keys.first, identity=identity)
        wanted = "none such" if identity == "none such" else key_id_of(keys.first)
        with pytest.raises(KeyLost, match=wanted):
            blind.fetch(published.manifest.id, tmp_path / "back")
        assert [found.problem for found in blind.list()] == [None]

    def test_other_keys_are_another_copy(
        self, place_of: Places, keys: Keys, published: Published, bucket: Path
    ) -> None:
        place_of().send(published.folder, published.manifest)
        copy = place_of(keys.first).send(published.folder, published.manifest)
        assert copy.kept_parts == 0
        names = [path.name for path in bucket.glob("shop/*/**/*") if path.is_file()]
        assert all(name.endswith(".age") or name == "index.json" for name in names)


class TestDeleting:
    """A copy goes whole, or is kept by the bucket and said so."""

    def test_the_manifest_goes_first(
        self, place: Offsite, published: Published, store: WatchedStore, bucket: Path
    ) -> None:
        place.send(published.folder, published.manifest)
        store.deleted_keys.clear()
        assert place.delete(published.manifest.id) is None
        assert store.deleted_keys[0].endswith("/manifest.json")
        assert store.deleted_keys[-1].endswith("/index.json")
        assert not [path for path in bucket.glob("shop/**/*") if path.is_file()]
        assert place.delete(published.manifest.id) is None

    def test_a_locked_one_stays_whole(
        self, place: Offsite, published: Published, store: WatchedStore, clock: FakeClock
    ) -> None:
        place.send(published.folder, published.manifest)
        kept = Kept(clock.now() + timedelta(days=1))
        store.locked = lambda _: kept
        assert place.delete(published.manifest.id) == kept
        assert [found.problem for found in place.list()] == [None]
        assert str(kept) == "kept by the bucket until 2026-03-05 05:06Z"

    def test_protection_is_what_a_probe_met(
        self, place: Offsite, publish: Publish, store: WatchedStore, clock: FakeClock
    ) -> None:
        one = publish()
        assert place.send(one.folder, one.manifest).protection.state == "none"
        store.locked = lambda _: Kept(None)
        assert place.send(one.folder, one.manifest).protection.state == "none"
        clock.advance(24 * 3600)
        proven = place.send(one.folder, one.manifest).protection
        assert proven.state == "proven"
        assert "could not be deleted" in proven.detail
