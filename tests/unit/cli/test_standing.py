"""How the state of backups is drawn: one line each, unknown called unknown, the problem last."""

from typing import Any

import pytest

from shippyard.cli.ctl.standing import draw_standing, row
from shippyard.cli.output import brief

SEGMENT = "00000001000000020000003A"
MAIN: dict[str, Any] = {
    "subject": "@main",
    "main_kind": "base",
    "objective": {"rpo_s": 900.0, "rto_s": 14400.0},
    "newest": {"base": {"age_s": 7200.0}},
    "loss": {"cluster": 2.4, "machine": 61.0},
    "wal": {"state": "receiving", "last_segment": SEGMENT},
    "drills": {"base": {"outcome": "passed", "age_s": 90000.0, "rto_s": 41.0, "forecast_s": 55.0}},
    "copies": {"newest": "b", "age_s": 7200.0, "waiting": 0},
    "problems": [],
}
NEVER = {"outcome": None, "age_s": None, "rto_s": None, "forecast_s": None}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_a_length_at_a_glance(seconds: float, told: str) -> None:
    assert brief(seconds) == told


def test_a_subject_is_one_line() -> None:
    assert row(MAIN, "there", full=False) == (
        "@main",
        "base 2 h ago",
        "2 s / 61 s of 15 min",
        "41 s / 55 s of 4 h",
        "receiving …0000003A",
        "base passed 25 h ago",
        "2 h old",
        None,
    )


def test_unknown_is_called_unknown() -> None:
    unknown = MAIN | {
        "newest": {"base": None},
        "loss": {"cluster": None, "machine": "all"},
        "wal": {"state": "unknown", "last_segment": None},
        "drills": {"base": NEVER},
        "copies": None,
    }
    assert row(unknown, "there", full=False)[1:7] == (
        "no base",
        "unknown / all of 15 min",
        "unknown of 4 h",
        "unknown",
        "never",
        "unknown",
    )
    assert row(unknown, None, full=False)[6] == "no place"


def test_no_wal_is_off_for_a_cluster_and_nothing_for_a_database() -> None:
    assert row(MAIN | {"wal": None}, None, full=False)[4] == "off"
    assert row(MAIN | {"subject": "shop", "wal": None}, None, full=False)[4] is None


def test_copies_that_wait_are_counted() -> None:
    waiting = MAIN | {"copies": {"newest": None, "age_s": None, "waiting": 3}}
    assert row(waiting, "there", full=False)[6] == "none, 3 wait"


def test_a_failed_drill_of_another_kind_is_shown_instead() -> None:
    failed = {"outcome": "failed", "age_s": 3600.0, "rto_s": None, "forecast_s": None}
    drilled = MAIN | {"drills": {**MAIN["drills"], "schema": failed}}
    assert row(drilled, "there", full=False)[5] == "schema failed 60 min ago"


def test_a_terminal_gets_the_problem_and_a_pipe_what_to_run_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = MAIN | {"problems": ["it is gone; run: this", "less bad"]}
    assert row(wrong, "there", full=False)[7] == "it is gone"
    draw_standing({"place": "there", "subjects": [wrong]})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split("\t")[4] == f"receiving {SEGMENT}"
    assert line.split("\t")[7] == "it is gone; run: this"
