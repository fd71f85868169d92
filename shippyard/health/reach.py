"""Owns which databases of a cluster are looked at beside those that config names. Pure.

Knows neither connections nor checks: rows of pg_database go in, names and reasons come out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shippyard.config.models import Health
from shippyard.health.model import Row

REACHED_MAX = 200
"""More databases of one cluster are not visited: a round of them would be too long."""

DATABASES_SQL = """
SELECT datname, datistemplate, datallowconn, datconnlimit,
       has_database_privilege(oid, 'CONNECT') AS may_connect
FROM pg_database ORDER BY datname
"""

_INVALID = -2  # what PostgreSQL leaves of a DROP DATABASE that was interrupted


@dataclass(frozen=True)
class Reach:
    """Databases to visit, in order, and why others that config selects are not."""

    visited: tuple[str, ...]
    left_out: Mapping[str, str]


def reach_of(rows: Sequence[Row], settings: Health, polled: Collection[str]) -> Reach:
    """What to visit of a cluster whose databases `polled` have a poller of their own."""
    selected = [row for row in rows if is_selected(row["datname"], settings)]
    others = [row for row in selected if row["datname"] not in polled]
    left_out = {row["datname"]: why for row in others if (why := _refusal(row))}
    fitting = [row["datname"] for row in others if row["datname"] not in left_out]
    too_many = dict.fromkeys(fitting[REACHED_MAX:], f"more than {REACHED_MAX} are not visited")
    return Reach(tuple(fitting[:REACHED_MAX]), left_out | too_many)


def is_selected(datname: str, settings: Health) -> bool:
    """Whether config wants a database that it does not name."""
    return _matches(datname, settings.include) and not _matches(datname, settings.exclude)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _refusal(row: Row) -> str | None:
    if row["datistemplate"]:
        return "a template"
    if not row["datallowconn"] or row["datconnlimit"] == _INVALID:
        return "takes no connections"
    if not row["may_connect"]:
        return f'GRANT CONNECT ON DATABASE "{row["datname"]}" TO the monitor\'s login'
    return None
