"""What a row's outcome becomes: verdict, table, exit status."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest

from proofs import table
from proofs.table import (
    Context,
    CouldNotRun,
    Outcome,
    Row,
    Verdict,
    main,
    run_rows,
    select,
    verdict_of,
)


def _row(name: str, outcome: Outcome | Exception) -> Row:
    def run(_: Context) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Row(name, f"the claim of {name}", "a goal", run)


GOOD = _row("good", Outcome("3 s", ok=True))
SHORT = _row("short", Outcome("30 s", ok=False, note="ten times too slow"))
ABSENT = _row("absent", CouldNotRun("needs root"))
BROKEN = _row("broken", ValueError("no such thing"))


@pytest.mark.parametrize(
    ("ok", "quick", "verdict"),
    [
        (True, False, Verdict.PASS),
        (True, True, Verdict.QUICK),
        (False, False, Verdict.FAIL),
        (False, True, Verdict.FAIL),
        (None, False, Verdict.NOT_RUN),
        (None, True, Verdict.NOT_RUN),
    ],
)
def test_a_quick_look_never_passes(*, ok: bool | None, quick: bool, verdict: Verdict) -> None:
    assert verdict_of(Outcome("x", ok), quick=quick) is verdict


def test_all_rows_are_selected_when_none_is_named() -> None:
    assert select([GOOD, SHORT], "") == [GOOD, SHORT]


def test_rows_keep_the_order_of_the_table() -> None:
    assert select([GOOD, SHORT, ABSENT], "absent, good") == [GOOD, ABSENT]


@pytest.mark.parametrize(("row", "status"), [(GOOD, 0), (SHORT, 1), (ABSENT, 1), (BROKEN, 1)])
def test_only_rows_that_hold_exit_zero(
    row: Row, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("make proof-x", [GOOD, row], {}) == status
    assert f"the claim of {row.name}" in capsys.readouterr().out


def test_the_table_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    main("make proof-x", [GOOD, SHORT, ABSENT, BROKEN], {})
    drawn = capsys.readouterr().out.split("verdict\n")[1]
    for part in ("ten times too slow", "needs root", "ValueError: no such thing"):
        assert part in drawn
    assert "1 pass, 2 fail, 1 not run" in drawn


def test_an_unknown_row_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("make proof-x", [GOOD], {"ROWS": "goode"}) == 2
    assert capsys.readouterr().err == "no row is called 'goode'; there are: good\n"


def test_quick_figures_are_never_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("make proof-x", [GOOD], {"QUICK": "1", "WRITE": "1"}) == 2
    assert "full runs only" in capsys.readouterr().err


def test_rows_that_the_time_is_up_for_are_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "QUICK_LIMIT_S", -1.0)
    assert main("make proof-x", [GOOD], {"QUICK": "1"}) == 1
    assert "used up" in capsys.readouterr().out


def test_write_records_the_rows_that_ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    evidence = tmp_path / "docs" / "evidence.md"
    monkeypatch.setattr(table, "EVIDENCE", evidence)
    monkeypatch.setattr(table, "commit_of", lambda _: "abc123")
    main("make proof-x", [GOOD, SHORT], {"WRITE": "1"})
    written = evidence.read_text()
    assert (
        "| good | the claim of good | a goal | 3 s | pass | `make proof-x ROWS=good` |" in written
    )
    assert "| short | the claim of short | a goal | 30 s | fail |" in written


def test_a_row_gets_fewer_trials_when_quick() -> None:
    counts = [Context(quick, Path(), Path()).count(full=5, quick=1) for quick in (False, True)]
    assert counts == [5, 1]


def _meeting(*, alone: bool, timeout_s: float) -> list[Row]:
    """Two rows that hold only when they run at the same time."""
    barrier = threading.Barrier(2)

    def run(_: Context) -> Outcome:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(timeout_s)
        return Outcome("met", ok=not barrier.broken)

    return [Row(name, "they meet", "a goal", run, alone) for name in ("one", "two")]


def test_quick_rows_go_two_at_a_time_and_keep_their_order() -> None:
    rows = _meeting(alone=False, timeout_s=5)
    results = run_rows(rows, quick=True)
    assert [(result.row, result.verdict) for result in results] == [
        (row, Verdict.QUICK) for row in rows
    ]


@pytest.mark.parametrize(("alone", "quick"), [(True, True), (False, False)])
def test_rows_that_measure_go_one_by_one(*, alone: bool, quick: bool) -> None:
    results = run_rows(_meeting(alone=alone, timeout_s=0.05), quick=quick)
    assert {result.verdict for result in results} == {Verdict.FAIL}
