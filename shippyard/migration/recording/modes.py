"""Owns which lock modes stand in each other's way, and how long somebody would have waited. Pure.

https://www.postgresql.org/docs/current/explicit-locking.html#TABLE-LOCK-COMPATIBILITY
"""

from collections.abc import Iterable, Sequence

Span = tuple[float, float]
"""Since when and until when, in seconds."""

READER = "AccessShareLock"
WRITER = "RowExclusiveLock"

_ACCESS_EXCLUSIVE = "AccessExclusiveLock"
_EXCLUSIVE = "ExclusiveLock"
_SHARE_ROW_EXCLUSIVE = "ShareRowExclusiveLock"
_SHARE = "ShareLock"
_SHARE_UPDATE_EXCLUSIVE = "ShareUpdateExclusiveLock"
_ROW_SHARE = "RowShareLock"

_STRONG = frozenset({_SHARE_ROW_EXCLUSIVE, _EXCLUSIVE, _ACCESS_EXCLUSIVE})

CONFLICTS: dict[str, frozenset[str]] = {
    READER: frozenset({_ACCESS_EXCLUSIVE}),
    _ROW_SHARE: frozenset({_EXCLUSIVE, _ACCESS_EXCLUSIVE}),
    WRITER: _STRONG | {_SHARE},
    _SHARE_UPDATE_EXCLUSIVE: _STRONG | {_SHARE, _SHARE_UPDATE_EXCLUSIVE},
    _SHARE: _STRONG | {WRITER, _SHARE_UPDATE_EXCLUSIVE},
    _SHARE_ROW_EXCLUSIVE: _STRONG | {WRITER, _SHARE_UPDATE_EXCLUSIVE, _SHARE},
    _EXCLUSIVE: _STRONG | {_ROW_SHARE, WRITER, _SHARE_UPDATE_EXCLUSIVE, _SHARE},
    _ACCESS_EXCLUSIVE: _STRONG | {READER, _ROW_SHARE, WRITER, _SHARE_UPDATE_EXCLUSIVE, _SHARE},
}
"""What each mode waits for."""


def blocks(held: str, wanted: str) -> bool:
    """Whether who wants a mode waits while another session holds `held`."""
    return held in CONFLICTS[wanted]


def longest_s(spans: Iterable[Span]) -> float:
    """The longest time that is covered without a moment between.

    Where one transaction ends and the next begins somebody who waits gets through: spans that only
    touch are apart.
    """
    longest = 0.0
    for since, until in _merged(sorted(spans)):
        longest = max(longest, until - since)
    return longest


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for since, until in spans:
        if merged and since < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged
