"""What the database said it wrote is remembered, and nothing else."""

import random

from bench.people import People

LUCK = random.Random(1)
THERE = [["1", "a@x"], ["2", "b@x"], ["3", "c@x"], ["4", "d@x"]]


def test_a_steady_person_keeps_the_address() -> None:
    people = People(THERE)

    with people.one("steady", LUCK) as person:
        person.confirm()

    assert [person.id, person.email] in THERE[:2]
    assert people.written() == {}


def test_nobody_else_has_the_same_mover_meanwhile() -> None:
    people = People(THERE)

    with people.one("mover", LUCK) as one, people.one("mover", LUCK) as other:
        assert {one.id, other.id} == {"3", "4"}


def test_what_was_confirmed_is_what_was_written() -> None:
    people = People(THERE)

    with people.one("mover", LUCK), people.one("comer", LUCK) as comer:
        comer.confirm()

    assert people.written() == {comer.id: comer.email}


def test_a_write_that_failed_later_leaves_the_one_before() -> None:
    people = People(THERE[:1] + THERE[2:3])

    with people.one("mover", LUCK) as first:
        first.confirm()
    with people.one("mover", LUCK) as second:
        pass

    assert second.id == first.id
    assert people.written() == {first.id: first.email}
