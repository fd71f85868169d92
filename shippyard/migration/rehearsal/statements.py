"""Owns what production's heaviest statements cost before and after a plan.

Statements come without their values, so most can only be planned; those that have none and only
read are run, too. In a sandbox, as the role that runs them in production, and never writing.
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.postgres.session import QueryFailed, Session, Unreachable, open_session, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name

MOST = 50
TEXT_MAX_CHARS = 20_000
SHOWN_CHARS = 120
TIMES = 3
STATEMENT_MAX_S = 5.0
SLOWER_RATIO = 2.0
SLOWER_MIN_MS = 5.0
COST_MIN = 1000.0
GENERIC_SINCE = 160_000
TIMED_OUT = "57014"
WRITES = "25006"

_BLANK = r"(\s|/\*([^*]|\*+[^*/])*\*+/|--[^\n]*\n)*"
"""What may stand before a statement, comments among it; the same to Python and to the server."""
_OURS = "pg_catalog|information_schema|pg_stat|pg_extension|set_config|alembic_version|shippyard"
"""Words of those that look after a database; an application has other ones."""

AsUser = Callable[[str], Target]

_WHERE_SQL = """
SELECT n.nspname AS schema FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
_TOP_SQL = """
SELECT s.query AS text, r.rolname AS role, s.calls, s.mean_exec_time AS mean_ms
FROM {schema}.pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.toplevel AND r.rolcanlogin AND length(s.query) <= {most}
    AND s.query ~* '^{blank}(SELECT|INSERT|UPDATE|DELETE|WITH|VALUES)\\M'
    AND s.query !~* '{ours}'
ORDER BY s.total_exec_time DESC LIMIT {limit}
"""
_PATH_SQL = """
SELECT substr(each, length('search_path=') + 1) AS path
FROM pg_db_role_setting AS s, unnest(s.setconfig) AS each
WHERE each LIKE 'search_path=%'
    AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
ORDER BY s.setdatabase = 0, s.setrole = 0 LIMIT 1
"""
_VALUES = re.compile(r"\$(\d+)")
_READS = re.compile(
    rf"(?is){_BLANK}(SELECT|VALUES)\b(?!.*\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY)\b)"
)
_SCANS = re.compile(r'"Node Type": "Seq Scan".*?"Relation Name": "([^"]+)"', re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """One statement that production runs, without its values, and the role that runs it."""

    text: str
    role: str
    calls: int
    mean_ms: float


@dataclass(frozen=True)
class Timed:
    """What one costs. `cost` is the planner's; `error` says why it does not run.

    `elapsed_ms` is the best of three; of one that was stopped it is how long it was let run.
    """

    cost: float | None = None
    elapsed_ms: float | None = None
    scans: frozenset[str] = frozenset()
    error: str | None = None


def top_statements(monitor: Target) -> tuple[Asked, ...]:
    """The statements that take the most time; none where that can't be read."""
    with contextlib.suppress(QueryFailed, Unreachable), session(monitor, "rehearsal") as asking:
        if found := asking.query(_WHERE_SQL):
            schema = quoted_name(str(found[0]["schema"]))
            question = _TOP_SQL.format(
                schema=schema, most=TEXT_MAX_CHARS, limit=MOST, blank=_BLANK, ours=_OURS
            )
            return tuple(Asked(**row) for row in asking.query(question))
    return ()


def time_statements(
    as_user: AsUser, asked: Sequence[Asked], *, seconds: float
) -> Mapping[Asked, Timed]:
    """What each costs now; those for which there was no time, or no role, are left out."""
    until = time.monotonic() + seconds
    found: dict[Asked, Timed] = {}
    for role in dict.fromkeys(each.role for each in asked):
        mine = [each for each in asked if each.role == role]
        with contextlib.suppress(Unreachable), contextlib.closing(_asking(as_user(role))) as asking:
            for each in mine:
                if time.monotonic() < until and not asking.is_lost():
                    found[each] = _timed(asking, each.text)
    return found


def slower(before: Mapping[Asked, Timed], after: Mapping[Asked, Timed]) -> tuple[str, ...]:
    """Statements that cost at least twice as much, read a table whole now, or run no more."""
    both = ((each, before[each], after[each]) for each in before if each in after)
    return tuple(f"{_shown(each)}: {said}" for each, was, now in both for said in _worse(was, now))


def broken(before: Mapping[Asked, Timed], after: Mapping[Asked, Timed]) -> bool:
    """Whether a statement that ran before runs no more."""
    return any(after[e].error and not before[e].error for e in before if e in after)


def _worse(was: Timed, now: Timed) -> Iterator[str]:
    if was.error is not None:
        return
    if now.error is not None:
        yield f"it runs no more: {now.error}"
        return
    if _is_slower(was.elapsed_ms, now.elapsed_ms, SLOWER_MIN_MS):
        yield f"{now.elapsed_ms:.0f} ms, not {was.elapsed_ms:.0f}"
        return
    read = ", ".join(sorted(now.scans - was.scans))
    if _is_slower(was.cost, now.cost, COST_MIN):
        more = f"; reads {read} whole" if read else ""
        yield f"planned to cost {now.cost:.0f}, not {was.cost:.0f}{more}"
    elif read and now.cost is not None and now.cost >= COST_MIN:
        yield f"reads {read} whole, planned to cost {now.cost:.0f}"


def _is_slower(was: float | None, now: float | None, least: float) -> bool:
    return was is not None and now is not None and now >= least and now >= was * SLOWER_RATIO


def _asking(target: Target) -> Session:
    asking = open_session(target, "rehearsal", settings={"jit": "off"})
    with contextlib.suppress(QueryFailed):
        found = asking.query(_PATH_SQL)
        path = str(found[0]["path"]) if found else '"$user", public'
        asking.query("SELECT set_config('search_path', %(path)s, false)", {"path": path})
    return asking


def _timed(asking: Session, text: str) -> Timed:
    try:
        plan = _planned(asking, text)
        elapsed_ms = _elapsed_ms(asking, text) if _can_run(text) else None
    except QueryFailed as error:
        return Timed(error=str(error))
    document = json.dumps(plan)
    cost = float(plan[0]["Plan"]["Total Cost"])
    return Timed(cost, elapsed_ms, frozenset(_SCANS.findall(document)))


def _planned(asking: Session, text: str) -> Any:
    values = max((int(number) for number in _VALUES.findall(text)), default=0)
    if not values:
        return _explained(asking, f"EXPLAIN (FORMAT JSON) {text}")
    if asking.server_version >= GENERIC_SINCE:
        return _explained(asking, f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}")
    asking.query("SELECT set_config('plan_cache_mode', 'force_generic_plan', false)")
    asking.query(f"PREPARE rehearsed AS {text}", timeout_s=STATEMENT_MAX_S)
    try:
        nulls = ", ".join(["NULL"] * values)
        return _explained(asking, f"EXPLAIN (FORMAT JSON) EXECUTE rehearsed ({nulls})")
    finally:
        asking.query("DEALLOCATE rehearsed")


def _can_run(text: str) -> bool:
    return _READS.match(text) is not None and not _VALUES.search(text)


def _elapsed_ms(asking: Session, text: str) -> float | None:
    """None for one that calls what writes: the session is read-only, and refuses that."""
    question = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}"
    try:
        return min(float(_explained(asking, question)[0]["Execution Time"]) for _ in range(TIMES))
    except QueryFailed as error:
        if error.sqlstate == TIMED_OUT:
            return STATEMENT_MAX_S * 1000
        if error.sqlstate == WRITES:
            return None
        raise


def _explained(asking: Session, statement: str) -> Any:
    (row,) = asking.query(statement, timeout_s=STATEMENT_MAX_S)
    (plan,) = row.values()
    return plan


def _shown(each: Asked) -> str:
    line = " ".join(each.text.split())
    short = line if len(line) <= SHOWN_CHARS else f"{line[: SHOWN_CHARS - 1]}…"
    return f"{short} ({each.calls:,} calls)"
