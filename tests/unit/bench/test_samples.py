"""Figures are made of latencies from the moment a statement was due."""

from pathlib import Path

from bench.samples import Statement, Window, figures_of, read, write


def statement(due: float, ended: float, error: str | None = None) -> Statement:
    return Statement("new", "read", due, ended - 0.001, ended, 1, error)


def test_what_waits_for_a_connection_has_waited() -> None:
    found = figures_of([statement(0.0, 2.0)])

    assert found.max_ms == 2000


def test_percentiles_and_errors() -> None:
    hundred = [statement(0.0, number / 1000) for number in range(1, 101)]

    found = figures_of([*hundred[:-1], statement(0.0, 0.1, "42703")])

    assert (found.count, round(found.p50_ms), round(found.p99_ms), round(found.max_ms)) == (
        100,
        51,
        100,
        100,
    )
    assert found.errors == {"new code: 42703": 1}


def test_nothing_has_no_figures() -> None:
    assert figures_of([]).max_ms == 0


def test_a_window_ends_where_the_next_begins() -> None:
    early, late = statement(1.0, 5.0), statement(2.0, 2.1)

    assert Window("a", 1.0, 2.0).of([early, late]) == [early]


def test_records_come_back_in_the_order_in_which_they_were_due(tmp_path: Path) -> None:
    records = [statement(2.0, 2.1), statement(1.0, 5.0, "nobody")]

    write(records, tmp_path / "records")

    assert read(tmp_path / "records") == records[::-1]
