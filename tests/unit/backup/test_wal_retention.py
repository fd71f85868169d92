"""WAL goes when no base backup that is kept needs it, and never when that is not known."""

from dataclasses import dataclass

from shippyard.backup.retention import select_expired_wal, wal_needed_from


@dataclass(frozen=True)
class User:
    id: str
    wal_first: str | None


def segment(timeline: int, number: int, suffix: str = "") -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}{suffix}"


def gone(names: list[str], *firsts: str | None) -> list[str]:
    users = [User(f"b{n}", first) for n, first in enumerate(firsts)]
    return [d.name for d in select_expired_wal(names, users) if not d.keep]


def test_it_is_needed_from_the_oldest_base_of_a_timeline() -> None:
    users = [User("a", segment(1, 300)), User("b", segment(1, 255)), User("c", segment(2, 400))]
    assert wal_needed_from(users) == {1: segment(1, 255), 2: segment(2, 400)}


def test_what_is_before_the_oldest_base_goes() -> None:
    names = [segment(1, n) for n in range(254, 258)]
    assert gone(names, segment(1, 256), segment(1, 300)) == names[:2]


def test_later_timelines_are_needed_by_what_came_before_them() -> None:
    names = [segment(1, 4), segment(1, 5), segment(2, 4), segment(2, 9), segment(3, 9)]
    assert gone(names, segment(1, 5)) == [segment(1, 4), segment(2, 4)]
    assert gone(names, segment(2, 6)) == [segment(1, 4), segment(1, 5), segment(2, 4)]


def test_histories_and_what_is_no_segment_stay_and_partials_are_segments() -> None:
    names = ["00000002.history", "notes.txt", segment(1, 1, ".partial"), segment(1, 1, ".zst")]
    assert gone(names, segment(1, 5)) == names[2:]
    assert gone(names, segment(1, 1)) == []


def test_none_goes_when_it_is_not_known_what_is_needed() -> None:
    names = [segment(1, 1), segment(1, 2)]
    assert gone(names) == []
    assert gone(names, segment(1, 2), None) == []
    frozen = select_expired_wal(names, [User("a", segment(1, 2))], frozen="the state was lost")
    assert [(d.keep, d.why) for d in frozen] == [(True, "the state was lost")] * 2
