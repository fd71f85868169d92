"""After a run a database has settled, or it hurts, with what shows it."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from shippyard.migration.aftercare import Baseline, Vital, baseline, judge, watch

BEFORE = Baseline(0.01, 2.0, 0)
FIRST = Vital(1000, 10, 0, 1000, 2000.0)
LATER = Vital(2000, 20, 0, 2000, 4000.0)


class Looks:
    """Answers in turn; the last one for good."""

    def __init__(self, *answers: Vital | None) -> None:
        self._answers = list(answers)

    def look(self) -> Vital | None:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def test_as_before_is_settled() -> None:
    assert judge(BEFORE, [FIRST, LATER]).verdict == "settled"


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ({"rollbacks": 120}, "of transactions fail"),
        ({"elapsed_ms": 12000.0}, "10.0 ms on average, 2.0 ms before"),
    ],
)
def test_worse_is_hurting(later: dict[str, Any], said: str) -> None:
    found = judge(BEFORE, [FIRST, replace(LATER, **later)])
    assert found.verdict == "hurting"
    assert said in found.evidence[0]


def test_sessions_that_wait_on_and_on_hurt_and_one_moment_does_not() -> None:
    waiting = replace(LATER, blocked=3)
    assert judge(BEFORE, [FIRST, waiting, LATER]).verdict == "settled"
    assert judge(BEFORE, [waiting] * 3).verdict == "hurting"
    assert judge(replace(BEFORE, blocked=2), [waiting] * 3).verdict == "settled"


def test_a_few_transactions_prove_nothing_and_no_look_is_unknown() -> None:
    assert judge(BEFORE, [FIRST, replace(FIRST, rollbacks=20)]).verdict == "settled"
    assert judge(BEFORE, [None, FIRST, None]).verdict == "unknown"


def test_counts_that_were_reset_are_no_failure() -> None:
    assert judge(BEFORE, [FIRST, Vital(5, 400, 0, 3, 9000.0)]).verdict == "settled"


def test_a_stop_ends_the_watch(clock: Any) -> None:
    stopping = threading.Event()
    stopping.set()
    found = watch(Looks(FIRST), BEFORE, 60.0, clock=clock, stopping=stopping)
    assert found.verdict == "unknown"


def test_the_baseline_is_what_happens_between_two_looks() -> None:
    stopping = threading.Event()
    stopping.set()
    assert baseline(Looks(FIRST, LATER), stopping) == Baseline(10 / 1010, 2.0, 0)
