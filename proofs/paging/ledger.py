"""Owns reading what a daemon wrote down of incidents and messages, from beside it.

Knows its tables and nothing of its code: what it says of itself is held against what arrived.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

ENTRIES_SQL = """
SELECT i.id, i.state, i.firing_at IS NOT NULL, d.route, d.event, d.state, d.message
FROM incidents AS i LEFT JOIN deliveries AS d ON d.incident_id = i.id
WHERE i.state IN ('firing', 'resolved') ORDER BY i.id, d.id
"""
OPEN_SQL = """
SELECT (SELECT count(*) FROM incidents WHERE state IN ('pending', 'firing'))
     + (SELECT count(*) FROM deliveries WHERE state IN ('queued', 'retrying'))
"""
COUNT_SQL = "SELECT count(*) FROM deliveries"


@dataclass
class Entry:
    """One incident that was worth telling. `made_at` is when each message was, since 1970."""

    incident: str
    fired: bool
    ended: bool
    dead: bool = False
    made_at: dict[tuple[str, str], float] = field(default_factory=dict)


def read_entries(database: Path) -> list[Entry]:
    """All incidents that fired, with their messages; one without messages has the row's number."""
    found: dict[int, Entry] = {}
    with closing(_opened(database)) as state:
        for number, stands, fired, route, event, sent, message in state.execute(ENTRIES_SQL):
            entry = found.setdefault(
                number, Entry(f"row {number}", bool(fired), stands == "resolved")
            )
            if message is not None:
                _add(entry, route, event, sent, json.loads(message))
    return list(found.values())


def is_quiet(database: Path) -> bool:
    """Whether no incident is open and no message is owed."""
    with closing(_opened(database)) as state:
        return bool(state.execute(OPEN_SQL).fetchone() == (0,))


def count_deliveries(database: Path) -> int:
    """How many messages are written down."""
    with closing(_opened(database)) as state:
        return int(state.execute(COUNT_SQL).fetchone()[0])


def _add(entry: Entry, route: str, event: str, sent: str, message: Mapping[str, object]) -> None:
    key = str(message["idempotency_key"])
    entry.incident = key.split(".", maxsplit=1)[0]
    entry.dead = entry.dead or sent == "dead"
    # The end of a key is when its message was made, in milliseconds and in hex.
    entry.made_at.setdefault((route, event), int(key.rsplit(".", 1)[1], 16) / 1000)


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
