"""Owns `health.blockers` on the socket: who blocks whom now, asked of the server anew.

Ends nobody: it names the command that would. What makes the tree is blocking.py's.
"""

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from shippyard.config.models import Health
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.health.blocking import PREPARED_PID, evidence_of, tree_of
from shippyard.health.live import EDGES
from shippyard.health.loader import load_checks
from shippyard.health.model import Check, Row
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target

PURPOSE = "blockers"
HOLDERS_SQL = resources.files("shippyard.health").joinpath("prepared_holders.sql").read_text()

Targets = Mapping[str, Callable[[], Target]]
"""How each configured database is reached, by its name."""


def build(targets: Targets) -> list[Method]:
    """The method, which asks as the shipped check of edges does, whatever config says of that."""
    edges = next(check for check in load_checks(Health()) if check.name == EDGES)

    def blockers(call: Call) -> Document:
        names = _chosen(targets, call.params.get("database"))
        return {"databases": [_told(name, targets[name], edges) for name in names]}

    return [Method("health.blockers", "viewer", blockers)]


def _chosen(targets: Targets, name: Any) -> list[str]:
    if name is None:
        return list(targets)
    if name not in targets:
        known = ", ".join(targets)
        raise MethodError("usage", f"no database {name!r} in config; try one of: {known}")
    return [str(name)]


def _told(name: str, target: Callable[[], Target], edges: Check) -> Document:
    """A cluster's locks are seen from any of its databases, names of tables only from their own."""
    try:
        with session(target(), PURPOSE) as opened:
            sql = edges.sql_for(opened.server_version)
            rows = opened.query(sql, edges.params, timeout_s=edges.timeout_s)
            found = evidence_of(tree_of(rows))
            is_prepared = any(PREPARED_PID in row["blockers"] for row in rows)
            holders = opened.query(HOLDERS_SQL, timeout_s=edges.timeout_s) if is_prepared else []
    except (Unreachable, QueryFailed, SecretMissing) as error:
        return {"name": name, "error": str(error)}
    return {"name": name, "error": None, **found, "prepared": [_prepared(row) for row in holders]}


def _prepared(row: Row) -> Document:
    return {
        "gid": row["gid"],
        "owner": row["owner"],
        "age_s": round(row["age_s"], 3),
        "action": row["action"],
    }
