"""Owns what statements cost between two looks, of figures that the server counts since some time.

The server forgets statements when it needs room for others, and everything on a reset: a figure
that went down began anew, and one that was never seen before counts from then on, so that nothing
is counted twice. Pure; it remembers only what it was shown. Texts of statements it never sees.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shippyard.health.model import Row
from shippyard.health.shape import Shaped

TOP = 20
WINDOW_S = 300.0
REMEMBERED_MAX = 2000
OTHER = "other"

COUNTED = (
    "calls",
    "rows",
    "exec_s",
    "plan_s",
    "blks_hit",
    "blks_read",
    "temp_blks_written",
    "blk_read_s",
    "wal_bytes",
)
"""What is counted of each statement, by the columns of the check."""

Key = tuple[str, int]
"""Database and query id."""
Counts = Mapping[str, float]


@dataclass(frozen=True)
class Spent:
    """What one statement cost within the window."""

    datname: str
    queryid: int
    dbid: int
    counts: Counts


@dataclass
class _Known:
    """A statement: its database's oid, what the server last said, and what is shown of it."""

    dbid: int
    seen: Counts
    shown: dict[str, float]


class Statements:
    """The shape `statements`: the top of the last minutes by time, and all others as one.

    What is shown of a statement only goes up. One that leaves the top keeps what it had, and its
    further cost is the others'; should it come back, it goes on from there.
    """

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}
        self._other = dict.fromkeys(COUNTED, 0.0)
        self._looks: deque[tuple[float, Mapping[Key, Counts]]] = deque()

    def __call__(self, rows: Sequence[Row], now_s: float) -> Shaped:
        """Rows of the check `statements_top`, seen at `now_s` (monotonic)."""
        spent = {key: counts for key, counts in map(self._meet, rows) if any(counts.values())}
        self._looks.append((now_s, spent))
        while self._looks[0][0] < now_s - WINDOW_S:
            self._looks.popleft()
        top = self._top()
        for key, counts in spent.items():
            _add(self._known[key].shown if key in top else self._other, counts)
        figures = [*map(self._row, top), _row(OTHER, OTHER, self._other)]
        self._forget()
        return Shaped(figures, lambda found: {"statements": [dict(each) for each in found]})

    def window(self) -> tuple[float, list[Spent]]:
        """How many seconds the looks span that are remembered, and what each statement cost."""
        if not self._looks:
            return 0.0, []
        totals: dict[Key, dict[str, float]] = {}
        for _, spent in list(self._looks)[1:]:
            for key, counts in spent.items():
                _add(totals.setdefault(key, dict.fromkeys(COUNTED, 0.0)), counts)
        span_s = self._looks[-1][0] - self._looks[0][0]
        known = [(key, totals[key]) for key in totals if key in self._known]
        return span_s, [Spent(*key, self._known[key].dbid, counts) for key, counts in known]

    def _meet(self, row: Row) -> tuple[Key, Counts]:
        """What a statement cost since the last look at it."""
        key = (str(row["datname"]), int(row["queryid"]))
        seen = {name: float(row[name] or 0) for name in COUNTED}
        known = self._known.pop(key, None)
        if known is None:
            self._known[key] = _Known(int(row["dbid"]), seen, dict.fromkeys(COUNTED, 0.0))
            return key, {}
        self._known[key] = _Known(int(row["dbid"]), seen, known.shown)
        return key, _since(known.seen, seen)

    def _top(self) -> list[Key]:
        """Those that took the most time within the window; before there is one, those of ever."""
        time_s: dict[Key, float] = {}
        for _, spent in self._looks:
            for key, counts in spent.items():
                time_s[key] = time_s.get(key, 0.0) + counts["exec_s"]
        order = sorted(
            self._known,
            key=lambda key: (-time_s.get(key, 0.0), -self._known[key].seen["exec_s"], key),
        )
        return order[:TOP]

    def _row(self, key: Key) -> Row:
        return _row(key[0], str(key[1]), self._known[key].shown)

    def _forget(self) -> None:
        """The ones that were not met for longest."""
        for key in list(self._known)[: max(0, len(self._known) - REMEMBERED_MAX)]:
            del self._known[key]


def _since(before: Counts, now: Counts) -> Counts:
    """A statement that was called less often than before began anew, with all its figures."""
    if now["calls"] < before["calls"]:
        return now
    return {name: max(0.0, now[name] - before[name]) for name in COUNTED}


def _add(to: dict[str, float], counts: Counts) -> None:
    for name, value in counts.items():
        to[name] += value


def _row(datname: str, queryid: str, counts: Counts) -> Row:
    # `rows` as a value means "how many rows" wherever a check names one.
    figures = {("rows_done" if name == "rows" else name): value for name, value in counts.items()}
    return {"datname": datname, "queryid": queryid, **figures}


def heaviest(spent: Iterable[Spent], by: str, limit: int) -> list[Spent]:
    """The most of one figure first."""
    return sorted(spent, key=lambda each: (-each.counts[by], each.queryid))[:limit]
