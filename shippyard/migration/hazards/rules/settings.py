"""Timeouts and locks that a migration sets itself. H44, H45, H06, H71."""

import re
from collections.abc import Iterator
from typing import Any

from shippyard.migration.hazards.reading.nodes import called, relation, walk
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.scene import Found, Scene

WATCHED = frozenset(
    {"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "deadlock_timeout"}
)
LONG_MS = 5_000
UNITS_MS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
INSTEAD = "leave it out: the runner sets lock_timeout and statement_timeout, and asserts them again"
SHARE_MODE = 5


def timeouts(scene: Scene) -> Iterator[Found]:
    """An unlimited wait for a lock is a queue of everybody behind it."""
    for name, value, local in _settings(scene.statement):
        if name not in WATCHED and name != "all":
            continue
        if _unlimited(name, value):
            yield Found(
                "H44",
                "block" if name in {"lock_timeout", "all"} else "warn",
                f"{name} = {value} overrides what the runner set: a wait for a lock may be endless",
                INSTEAD,
            )
        elif not local and name == "lock_timeout":
            yield Found(
                "H45",
                "warn",
                "a SET is lost with the transaction that is rolled back: the retry has no timeout",
                f"{INSTEAD}; elsewhere: PGOPTIONS='-c lock_timeout={value}'",
            )


def timeout_set(statement: Statement) -> str | None:
    """The lock_timeout that a statement sets, or None."""
    found = [value for name, value, _ in _settings(statement) if name == "lock_timeout"]
    return found[-1] if found else None


def advisory_locks(scene: Scene) -> Iterator[Found]:
    """A runner that waits for another in pg_advisory_lock deadlocks its concurrent build."""
    waits = {"pg_advisory_lock", "pg_advisory_lock_shared"}
    if called(scene.node) & waits and scene.is_a("select_stmt", "do_stmt"):
        yield Found(
            "H06",
            "warn",
            "who waits here holds a snapshot, and a concurrent build waits for that: a deadlock",
            "leave it out: one run at a time is the runner's business; or pg_try_advisory_lock",
        )


def explicit_locks(scene: Scene) -> Iterator[Found]:
    """LOCK TABLE is held until the transaction ends."""
    if not scene.is_a("lock_stmt") or scene.node.get("mode", 8) < SHARE_MODE:
        return
    tables = [relation(each["range_var"]) for each in scene.node.get("relations", ())]
    if any(map(scene.in_use, tables)):
        yield Found(
            "H71",
            "warn",
            f"{', '.join(tables)} stays locked until the transaction ends",
            "leave it out: each statement takes the lock that it needs",
        )


def _settings(statement: Statement) -> Iterator[tuple[str, str, bool]]:
    """Name, value as it is written, and whether it ends with the transaction."""
    node = statement.node
    if statement.kind == "variable_set_stmt":
        yield _setting(node)
    elif statement.kind in {"alter_role_set_stmt", "alter_database_set_stmt"}:
        name, value, _ = _setting(node.get("setstmt", {}))
        if _unlimited(name, value):
            yield name, value, False
    elif statement.kind == "select_stmt":
        for kind, each in walk(node):
            if kind == "func_call" and called({"func_call": each}) & {"set_config"}:
                yield from _configured(each)


def _setting(node: Node) -> tuple[str, str, bool]:
    kind, local = node.get("kind", ""), bool(node.get("is_local"))
    if kind == "VAR_RESET_ALL":
        return "all", "its default", local
    args = node.get("args") or [{}]
    value = "its default" if kind in {"VAR_SET_DEFAULT", "VAR_RESET"} else _constant(args[0])
    return node.get("name", "").lower(), value, local


def _configured(call: Node) -> Iterator[tuple[str, str, bool]]:
    args = call.get("args", ())
    if len(args) == len(("name", "value", "is_local")):
        local = bool(args[2].get("a_const", {}).get("boolval", {}).get("boolval"))
        yield _constant(args[0]).lower(), _constant(args[1]), local


def _constant(node: Node) -> str:
    found: Any = node.get("a_const", {})
    if "sval" in found:
        return str(found["sval"].get("sval", ""))
    if "fval" in found:
        return str(found["fval"].get("fval", ""))
    return str(found.get("ival", {}).get("ival", 0))


def _unlimited(name: str, value: str) -> bool:
    if value == "its default":
        return name != "deadlock_timeout"
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value)
    if not found or name == "deadlock_timeout":
        return False
    ms = float(found.group(1)) * UNITS_MS.get(found.group(2) or "ms", 1)
    return ms == 0 or (name == "lock_timeout" and ms > LONG_MS)
