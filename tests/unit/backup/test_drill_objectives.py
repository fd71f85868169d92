"""What is promised, and when it is said to be broken."""

import pytest

from shippyard.backup.drill.objectives import (
    HOUR_S,
    MINUTE_S,
    OBJECTIVES,
    judge_loss,
    judge_time,
    said,
    strictest,
)


def test_promises_by_criticality() -> None:
    assert {name: (each.rpo_s, each.rto_s) for name, each in OBJECTIVES.items()} == {
        "critical": (15 * MINUTE_S, 4 * HOUR_S),
        "important": (HOUR_S, 24 * HOUR_S),
        "normal": (24 * HOUR_S, 72 * HOUR_S),
    }
    assert strictest(["normal", "critical", "important"]) == OBJECTIVES["critical"]


@pytest.mark.parametrize(
    ("loss_s", "word"),
    [(None, None), (7.4 * MINUTE_S, None), (7.5 * MINUTE_S, "soon"), (16 * MINUTE_S, "15 min")],
)
def test_loss_is_said_from_half_of_what_may_be_lost(loss_s: float | None, word: str | None) -> None:
    told = judge_loss(loss_s, OBJECTIVES["critical"])
    assert (told is None) == (word is None)
    assert word is None or (told and word in told and "machine" in told)


def test_time_is_said_when_over_the_promise() -> None:
    assert judge_time(None, OBJECTIVES["critical"]) is None
    assert judge_time(4 * HOUR_S, OBJECTIVES["critical"]) is None
    assert "4.1 h" in (judge_time(4.1 * HOUR_S, OBJECTIVES["critical"]) or "")


def test_times_in_words() -> None:
    assert [said(s) for s in (1, 119, 300, 7200, 90000)] == [
        "1 s", "119 s", "5 min", "2.0 h", "25.0 h",
    ]  # fmt: skip
