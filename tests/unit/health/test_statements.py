"""Nothing is counted twice and nothing shown goes down, whatever the server forgets."""

import random
from collections.abc import Mapping, Sequence

from shippyard.health.model import Row
from shippyard.health.statements import (
    COUNTED,
    OTHER,
    REMEMBERED_MAX,
    TOP,
    WINDOW_S,
    Statements,
    heaviest,
)


def row(queryid: int, calls: float, exec_s: float | None = None, datname: str = "shop") -> Row:
    counts = dict.fromkeys(COUNTED, 0.0) | {"calls": calls}
    counts["exec_s"] = calls if exec_s is None else exec_s
    return {"dbid": 5, "datname": datname, "queryid": queryid, **counts}


def shown(figures: Sequence[Row]) -> Mapping[str, float]:
    return {each["queryid"]: each["calls"] for each in figures}


def test_the_first_look_is_where_counting_begins() -> None:
    seen = Statements()
    assert shown(seen([row(1, 1000)], 0).figures) == {"1": 0, OTHER: 0}
    assert shown(seen([row(1, 1003)], 30).figures) == {"1": 3, OTHER: 0}


def test_a_reset_counts_what_came_after_it() -> None:
    seen = Statements()
    seen([row(1, 100)], 0)
    seen([row(1, 110)], 30)
    assert shown(seen([row(1, 4)], 60).figures)["1"] == 14


def test_an_evicted_statement_that_comes_back_is_not_counted_twice() -> None:
    seen = Statements()
    seen([row(1, 100)], 0)
    seen([row(1, 110)], 30)
    assert shown(seen([], 60).figures)["1"] == 10
    assert shown(seen([row(1, 5)], 90).figures)["1"] == 15


def test_what_leaves_the_top_is_the_others_and_goes_on_when_it_returns() -> None:
    seen = Statements()
    many = range(2, TOP + 2)
    seen([row(1, 0), *(row(n, 0) for n in many)], 0)
    assert shown(seen([row(1, 5), *(row(n, 1) for n in many)], 30).figures)["1"] == 5
    busy = [row(n, 1000) for n in many]
    later = shown(seen([row(1, 7), *busy], 60).figures)
    assert "1" not in later
    assert later[OTHER] == 1 + 2  # one of the many had been beyond the top, too
    back = shown(seen([row(1, 9000), *busy], 90).figures)
    assert back["1"] == 5 + 8993


def test_the_top_is_of_the_last_minutes() -> None:
    seen = Statements()
    seen([row(1, 0), row(2, 0)], 0)
    seen([row(1, 100), row(2, 0)], 30)
    seen([row(1, 100), row(2, 1)], 60 + WINDOW_S)
    span_s, spent = seen.window()
    assert span_s <= WINDOW_S
    assert not spent or heaviest(spent, "exec_s", 1)[0].queryid == 2


def test_whatever_happens_nothing_goes_down_and_no_more_is_told_than_happened() -> None:
    chance = random.Random(11)
    seen, last, told_before = Statements(), dict[str, float](), 0.0
    server: dict[int, float] = {}
    happened = 0.0
    for look in range(300):
        for queryid in range(60):
            if chance.random() < 0.5:
                calls = chance.randrange(1, 50)
                server[queryid] = server.get(queryid, 0.0) + calls
                happened += calls
        for queryid in list(server):
            if chance.random() < 0.05:
                del server[queryid]  # evicted
        if chance.random() < 0.02:
            server.clear()  # reset
        now = shown(seen([row(q, calls) for q, calls in server.items()], look * 30.0).figures)
        assert all(value >= last.get(name, 0.0) for name, value in now.items())
        last |= now
        told = sum(last.values())
        assert told_before <= told <= happened
        told_before = told


def test_memory_is_bounded() -> None:
    seen = Statements()
    for look in range(10):
        rows = [row(look * 500 + n, 1) for n in range(500)]
        assert len(seen(rows, look * 30.0).figures) == TOP + 1
    assert len(seen._known) == REMEMBERED_MAX
