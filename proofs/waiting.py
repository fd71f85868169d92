"""Owns waiting for something to become true, with a deadline. Knows nothing of what."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

POLL_S = 0.02

Answer = TypeVar("Answer")


class Late(AssertionError):
    """What had to become true did not, within its time."""


def until(
    condition: Callable[[], Answer], timeout_s: float, what: str, *, pause_s: float = POLL_S
) -> Answer:
    """The condition's first true value, asked for every `pause_s`.

    Raises:
        Late: it was not true within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Late(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)
    return value


def seconds_until(condition: Callable[[], Any], timeout_s: float, what: str) -> float:
    """How long the condition took to become true; `Late` as for `until`."""
    begun = time.monotonic()
    until(condition, timeout_s, what)
    return time.monotonic() - begun
