"""Owns the shapes an answer can have: how rows become figures, evidence and words. Pure.

A check names its shape in its TOML; a new one is a function here, or a class beside here that
remembers, and one line in `SHAPES`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from shippyard.health.action import ending
from shippyard.health.blocking import evidence_of, facts_of, tree_of
from shippyard.health.model import Row
from shippyard.health.shape import Shape, Shaped
from shippyard.health.statements import Statements

SESSIONS_TOLD = 10
ROWS_TOLD = 20


def plain_rows(rows: Sequence[Row]) -> Shaped:
    """Each row is a figure."""
    return Shaped(rows, lambda found: {"rows": [_json(row) for row in found[:ROWS_TOLD]]})


def sessions(rows: Sequence[Row]) -> Shaped:
    """Rows are sessions, oldest first: one figure over all of them, with words about the oldest.

    Columns: total, age_s, pid, backend_start, datname, usename, application_name, state, query.
    """
    oldest = _session_told(rows[0]) if rows else {}
    figure = {
        **oldest,
        "sessions": rows[0]["total"] if rows else 0,
        "max_age_s": rows[0]["age_s"] if rows else 0.0,
    }
    return Shaped([figure], lambda _: _sessions_told(rows))


def blocking_tree(rows: Sequence[Row]) -> Shaped:
    """Rows are lock waits and those waited for: one figure over the whole tree."""
    tree = tree_of(rows)
    return Shaped([facts_of(tree)], lambda _: evidence_of(tree))


def _forgetful(shaped: Callable[[Sequence[Row]], Shaped]) -> Callable[[], Shape]:
    return lambda: lambda rows, now_s: shaped(rows)  # noqa: ARG005  only a memory asks when


SHAPES: Mapping[str, Callable[[], Shape]] = {
    "rows": _forgetful(plain_rows),
    "sessions": _forgetful(sessions),
    "blocking_tree": _forgetful(blocking_tree),
    "statements": Statements,
}


def _sessions_told(rows: Sequence[Row]) -> dict[str, Any]:
    """The oldest ones, and what ends the oldest of them."""
    told = [_session_told(row) for row in rows[:SESSIONS_TOLD]]
    return {"action": told[0]["action"] if told else None, "sessions": told}


def _session_told(row: Row) -> dict[str, Any]:
    start: datetime | None = row["backend_start"]
    return {
        "pid": row["pid"],
        "backend_start": start.isoformat() if start else None,
        "database": row["datname"],
        "user": row["usename"],
        "application": row["application_name"],
        "state": row["state"],
        "age_s": round(row["age_s"], 3),
        "query": row["query"],
        "action": ending(row["pid"], start, row["state"]),
    }


def _json(row: Row) -> dict[str, Any]:
    return {column: _json_value(value) for column, value in row.items()}


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return float(value) if isinstance(value, Decimal) else str(value)
