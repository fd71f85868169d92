"""Holds, drills and copies stand in manifests; the catalogue is made again from them alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete
from structlog.testing import capture_logs

from shippyard.backup.catalog import Catalog
from shippyard.backup.lock import exclusive
from shippyard.backup.manifest import Event
from shippyard.backup.model import BackupFailed, moved
from shippyard.state.tables import backups, notes
from tests.integration.backup.conftest import MakeYard, Yard
from tests.integration.backup.engine_by_hand import ByHand

KEEP_ONE = {"days": 1, "daily": 0, "weekly": 0, "monthly": 0, "at_least": 1}


@pytest.fixture
def hand(make_yard: MakeYard) -> Yard:
    return make_yard(with_engines=ByHand(), keep=KEEP_ONE)


def dump(yard: Yard) -> str:
    yard.clock.advance(10 * 86400)
    return yard.service.run("shop", "dump", "schedule").id


def lose_the_state(yard: Yard) -> None:
    with yard.state.write() as connection:
        connection.execute(delete(backups))
        connection.execute(delete(notes))


def happened(yard: Yard, backup_id: str) -> list[tuple[str, str]]:
    return [(e.what, e.detail) for e in yard.service.manifest_of(backup_id).history]


def test_what_a_person_holds_stays_until_it_is_released(hand: Yard) -> None:
    held = dump(hand)
    hand.service.hold(held, "  audit\nof 2025 ")
    ids = [held, dump(hand), dump(hand)]
    assert hand.service.prune(apply=True).deleted == (ids[1],)
    hand.service.release_earlier("shop", than="run-9")
    assert hand.service.prune(apply=True).deleted == ()
    assert hand.service.manifest_of(held).held_by == "operator: audit of 2025"
    assert hand.service.let_go(held).held_by is None
    assert happened(hand, held) == [
        ("held", "operator: audit of 2025"),
        ("released", "operator: audit of 2025"),
    ]
    assert hand.service.manifest_of(held).held_by is None
    assert hand.service.prune(apply=True).deleted == (held,)
    with pytest.raises(BackupFailed, match="is deleted: there is nothing to hold"):
        hand.service.hold(held, "too late")


def test_what_is_held_between_judgement_and_deletion_stays(
    hand: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = dump(hand)
    dump(hand)
    expire = Catalog.expire

    def held_first(catalog: Catalog, backup: object) -> object:
        hand.service.hold(old, "just now")
        return expire(catalog, backup)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(Catalog, "expire", held_first)
    assert hand.service.prune(apply=True).deleted == ()
    assert hand.service.find(old).counts


def test_a_drill_and_a_copy_in_either_order(hand: Yard) -> None:
    at, later = hand.clock.now(), hand.clock.now() + timedelta(hours=1)
    first, second = dump(hand), dump(hand)
    hand.service.mark_replicated(first, at, "s3://x")
    assert hand.service.find(first).state == "replicated"
    hand.service.mark_drilled(first, later, ok=True, detail="equal")
    assert hand.service.find(first).state == "drilled"
    hand.service.mark_drilled(second, at, ok=True)
    hand.service.mark_replicated(second, later)
    for each in (first, second):
        backup = hand.service.find(each)
        assert (backup.state, backup.counts) == ("drilled", True)
        assert {backup.replicated_at, backup.drilled_at} == {at, later}
    assert happened(hand, first) == [("replicated", "s3://x"), ("drilled", "equal")]


def test_a_copy_noted_late_takes_no_drill_back(hand: Yard) -> None:
    at, backup = hand.clock.now(), dump(hand)
    read_before = hand.service.find(backup)
    hand.service.mark_drilled(backup, at, ok=True)
    hand.service._events.replicated(read_before, at, "s3://x")
    found = hand.service.find(backup)
    assert (found.state, found.drilled_at, found.replicated_at) == ("drilled", at, at)


def test_a_drill_that_fails_takes_back_what_one_proved(hand: Yard) -> None:
    at, backup = hand.clock.now(), dump(hand)
    hand.service.mark_drilled(backup, at, ok=True)
    hand.service.mark_drilled(backup, at, ok=False, detail="a row differs")
    assert hand.service.find(backup).state == "published"
    hand.service.mark_replicated(backup, at)
    hand.service.mark_drilled(backup, at, ok=True)
    hand.service.mark_drilled(backup, at, ok=False, detail="a row differs")
    assert hand.service.find(backup).state == "replicated"
    assert hand.service.find(backup).drilled_at is None
    lose_the_state(hand)
    hand.service.recover()
    assert hand.service.find(backup).state == "replicated"


def test_what_does_not_count_can_not_be_drilled_or_noted(hand: Yard) -> None:
    backup = dump(hand)
    (hand.service.folder_of(backup) / "manifest.json").unlink()
    assert hand.service.newest("shop") is None
    with pytest.raises(BackupFailed, match="is missing; drilled means nothing now"):
        hand.service.mark_drilled(backup, hand.clock.now(), ok=True)
    with pytest.raises(BackupFailed, match="can't be noted in the manifest"):
        hand.service.note_event(backup, Event(hand.clock.now(), "verified"))
    with pytest.raises(BackupFailed, match="can't be relied on"):
        hand.service.manifest_of(backup)


def test_what_is_away_comes_back_as_what_it_was(hand: Yard) -> None:
    backup = dump(hand)
    hand.service.mark_drilled(backup, hand.clock.now(), ok=True)
    folder = hand.service.folder_of(backup)
    folder.rename(folder.with_name("away"))
    assert hand.service.newest("shop") is None
    assert hand.service.find(backup).state == "missing"
    folder.with_name("away").rename(folder)
    assert hand.service.newest("shop") is not None
    assert hand.service.find(backup).state == "drilled"


def test_after_the_state_was_lost_the_manifests_say_it_all(hand: Yard) -> None:
    ids = [dump(hand) for _ in range(4)]
    hand.service.hold(ids[0], "audit")
    hand.service.mark_drilled(ids[1], hand.clock.now(), ok=True)
    hand.service.mark_replicated(ids[2], hand.clock.now())
    before = hand.service.history()
    lose_the_state(hand)
    found = hand.service.rebuild(apply=False)
    assert [(each.id, each.change) for each in found] == [(each, "added") for each in ids]
    assert (found[0].held_by, found[1].state) == ("operator: audit", "drilled")
    assert hand.service.history() == []
    hand.service.rebuild(apply=True)
    assert hand.service.history() == before
    assert {each.change for each in hand.service.rebuild(apply=False)} == {"kept"}


def test_nothing_is_deleted_after_the_state_was_lost_until_somebody_confirms(hand: Yard) -> None:
    ids = [dump(hand), dump(hand)]
    lose_the_state(hand)
    with capture_logs() as logs:
        assert hand.service.recover().unknown == tuple(ids)
    assert "backup.retention_frozen" in [line["event"] for line in logs]
    why = hand.service.frozen()
    assert why is not None
    assert why.startswith("2 backups were found on disk that the catalog did not know of")
    pruned = hand.service.prune(apply=True)
    assert pruned.deleted == ()
    assert {d.id: d.why for d in pruned.decisions}[ids[0]] == f"nothing goes: {why}"
    assert hand.service.recover().unknown == ()
    assert hand.service.frozen() == why
    assert hand.service.confirm_catalogue()
    assert not hand.service.confirm_catalogue()
    assert hand.service.prune(apply=True).deleted == (ids[0],)


def test_a_rebuild_that_is_applied_is_a_confirmation(hand: Yard) -> None:
    dump(hand)
    lose_the_state(hand)
    hand.service.recover()
    assert hand.service.frozen()
    hand.service.rebuild(apply=False)
    assert hand.service.frozen()
    hand.service.rebuild(apply=True)
    assert hand.service.frozen() is None


def test_manifests_win_over_rows_but_for_deletions_under_way(hand: Yard) -> None:
    first, second, third = dump(hand), dump(hand), dump(hand)
    catalog = Catalog(hand.state)
    catalog.expire(hand.service.find(first))
    of_second = hand.service.find(second)
    catalog.mark(of_second, replace(moved(of_second, "drilled"), drilled_at=hand.clock.now()))
    (hand.service.folder_of(third) / "data" / "1.dat").write_bytes(b"short")
    found = {each.id: each for each in hand.service.rebuild(apply=True)}
    assert (found[first].change, found[second].change) == ("kept", "changed")
    assert found[second].why.startswith("state was drilled, is published")
    assert found[third].change == "refused"
    assert "5 bytes, the manifest says 9" in found[third].why
    states = [hand.service.find(each).state for each in (first, second, third)]
    assert states == ["expired", "published", "missing"]


def test_known_damage_survives_the_loss_of_the_state(hand: Yard) -> None:
    backup = dump(hand)
    (hand.service.folder_of(backup) / "data" / "1.dat").write_bytes(b"ALL of it")
    assert not hand.service.verify(backup).ok
    lose_the_state(hand)
    hand.service.rebuild(apply=True)
    found = hand.service.find(backup)
    assert (found.state, found.error) == (
        "damaged",
        "damaged: data/1.dat: sha256 differs from the manifest's",
    )


def test_what_a_crash_left_of_a_manifest_and_of_a_look_is_swept(hand: Yard) -> None:
    folder = hand.service.folder_of(dump(hand))
    half = folder / ".manifest.json.4711.partial"
    half.write_text("{")
    scratch = hand.root / "shop" / ".wal-x1"
    (scratch / "deep").mkdir(parents=True)
    hand.service.recover()
    assert not half.exists()
    assert not scratch.exists()


def test_a_lock_that_a_dead_one_left_is_explained(hand: Yard) -> None:
    dump(hand)
    lock = hand.root / "shop" / ".dump.lock"
    assert lock.read_text() == ""
    lock.write_text("20260304T050607Z-dump-1a2b3c, process 4711")
    with capture_logs() as logs:
        hand.service.recover()
    said = [line for line in logs if line["event"] == "backup.lock_left"]
    assert [(line["kind"], line["held_by"]) for line in said] == [
        ("dump", "20260304T050607Z-dump-1a2b3c, process 4711")
    ]
    with exclusive(lock, "next") as left:
        assert left == ""
