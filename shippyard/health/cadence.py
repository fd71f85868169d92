"""Owns when things are due: the next turn of a check, the next try to connect. Pure."""

import math

REST = 4.0
FIRST_PAUSE_S = 0.5


def next_due(due: float, every_s: float, now: float, took_s: float) -> float:
    """When a check that was due at `due` and ended at `now` is due again.

    It keeps its own rhythm and skips turns that were missed, so that nothing piles up. A check that
    is slow rests four times as long as it took: it may use a fifth of the connection, no more.
    """
    missed = max(0, math.floor((now - due) / every_s))
    return max(due + (missed + 1) * every_s, now + REST * took_s)


def pause_s(failures: int, longest_s: float, chance: float) -> float:
    """How long to wait after the `failures`-th failed try in a row; `chance` is in 0..1.

    Doubles from half a second; up to half of it is left to chance, so that many daemons don't come
    back as one.
    """
    full = min(longest_s, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 20))
    return full * (1 - chance / 2)
