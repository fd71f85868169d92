"""Volume without a database: the same rows again, as life is spread, in bounded memory."""

import tracemalloc
from collections import Counter
from itertools import islice

import pytest

from shippyard.setup.volume.catalogue import NAMES, TABLES, Table, UnknownTable, with_needs
from shippyard.setup.volume.filling import lines
from shippyard.setup.volume.freight import courses
from shippyard.setup.volume.ids import keys_of
from shippyard.setup.volume.shape import Shape, favourite, fraction, joined, there_at
from shippyard.setup.volume.world import City, World, address_number, doors

CITIES = tuple(City(f"c{n}", code) for n, code in enumerate(("DE", "FR", "PL", "US")))


def world(scale: float = 0.1, seed: int = 1) -> World:
    return World(Shape(scale, seed), CITIES)


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_rows_are_the_same_again_and_others_for_another_seed(table: Table) -> None:
    first = list(table.rows(world()))
    assert list(table.rows(world())) == first
    assert list(table.rows(world(seed=2))) != first
    assert all(len(row) == len(table.columns) for row in first)
    assert len({row[0] for row in first}) == len(first)
    assert 0.85 < len(first) / table.expected(Shape(0.1)) < 1.15


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_no_cell_breaks_the_text_of_copy(table: Table) -> None:
    for text, count in lines(table, table.columns, world(0.02)):
        rows = text.removesuffix("\n").split("\n")
        assert len(rows) == count
        assert {row.count("\t") for row in rows} == {len(table.columns) - 1}
        assert not text.replace("\\N", "").count("\\")


def test_only_the_columns_that_are_asked_for_are_written() -> None:
    users = next(table for table in TABLES if table.name == "users")
    (text, _) = next(lines(users, ["id", "email"], world()))
    key, email = text.split("\n")[0].split("\t")
    assert len(key) == 32
    assert "@" in email


def test_the_first_tenth_of_the_senders_sends_more_than_half() -> None:
    senders = Counter(course.sender for course in courses(world(0.3)))
    tenth = sum(count for _, count in senders.most_common(300))
    assert tenth > sum(senders.values()) / 2


def test_most_shipments_are_delivered_and_some_are_in_every_state() -> None:
    states = Counter(course.status for course in courses(world(0.5)))
    assert states["delivered"] / sum(states.values()) == pytest.approx(0.85, abs=0.05)
    assert len(states) == 6


def test_who_is_there_at_a_moment_has_come_by_then() -> None:
    for count in (1, 7, 10_000):
        for when in (0.0, 0.08, 0.5, 0.999):
            assert joined(there_at(when, count) - 1, count) <= when


def test_keys_look_as_the_server_makes_them_and_never_repeat() -> None:
    key = keys_of("users", 1)
    keys = {key(n) for n in range(100_000)}
    assert len(keys) == 100_000
    assert {each[12] for each in keys} == {"4"}
    assert {each[16] for each in keys} <= set("89ab")
    assert key(0) != keys_of("quotes", 1)(0) != keys_of("quotes", 2)(0)


def test_chance_stays_within_what_there_is() -> None:
    assert favourite(3, 0.0) == 0
    assert favourite(3, 1 - 2**-53) == 2
    assert all(0 <= fraction(n) < 1 for n in range(1000))
    assert all(address_number(n, 6) - n * 4 < doors(n) for n in range(100))


def test_memory_does_not_grow_with_the_scale() -> None:
    events = next(table for table in TABLES if table.name == "shipment_events")
    tracemalloc.start()
    batches = islice(lines(events, events.columns, world(1000)), 10)
    assert sum(count for _, count in batches) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


def test_a_table_brings_what_it_points_at() -> None:
    assert [table.name for table in with_needs(["users"])] == ["companies", "users"]
    assert with_needs(NAMES) == TABLES
    with pytest.raises(UnknownTable, match="'ships'; there is for companies"):
        with_needs(["ships"])
