"""Owns `health.queries` on the socket: the statements that cost the most lately, with their texts.

What they cost is remembered by the poller. Texts are asked of the server for these few alone, and
only here: they are long, and are somebody's data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.health.asking import Lacking, schema_of
from shippyard.health.model import EXTENSION_SCHEMA
from shippyard.health.shape import Shape
from shippyard.health.statements import Spent, Statements, heaviest
from shippyard.host.secrets import SecretMissing, mask
from shippyard.postgres.session import QueryFailed, Session, Unreachable, quoted, session
from shippyard.postgres.target import Target

CHECK = "statements_top"
EXTENSION = "pg_stat_statements"
TEXT_SQL = resources.files("shippyard.health").joinpath("statements_text.sql").read_text()
TEXT_TIMEOUT_S = 5.0
LIMIT, LIMIT_MAX = 10, 50
PURPOSE = "queries"

BY: Mapping[str, str] = {
    "time": "exec_s",
    "calls": "calls",
    "rows": "rows",
    "reads": "blks_read",
    "temp": "temp_blks_written",
}


class Remembers(Protocol):
    """Whoever asks a cluster its checks: the poller of its first database."""

    def shape(self, check: str) -> Shape | None:
        """What a check's answers were made sense of by."""
        ...


@dataclass(frozen=True)
class Source:
    """One cluster, by the database that its checks are asked through."""

    database: str
    cluster: str
    poller: Remembers
    target: Callable[[], Target]


def build(sources: Sequence[Source]) -> list[Method]:
    """The method; a source for each cluster."""

    def queries(call: Call) -> Document:
        by, limit = _wanted(call.params)
        only = call.params.get("database")
        return {"by": by, "clusters": [_cluster(each, by, limit, only) for each in sources]}

    return [Method("health.queries", "viewer", queries)]


def _wanted(params: Document) -> tuple[str, int]:
    by, limit = params.get("by", "time"), params.get("limit", LIMIT)
    if by not in BY:
        raise MethodError("usage", f"by {by!r} is nothing to go by; use one of: {', '.join(BY)}")
    if not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise MethodError("usage", f"limit is a number from 1 to {LIMIT_MAX}")
    return str(by), limit


def _cluster(source: Source, by: str, limit: int, only: Any) -> Document:
    base: dict[str, Any] = {"name": source.cluster, "window_s": 0.0, "queries": [], "error": None}
    shape = source.poller.shape(CHECK)
    if not isinstance(shape, Statements):
        why = f"nothing is known yet; see the check {CHECK}: shippyard ctl health {source.database}"
        return {**base, "error": why}
    window_s, spent = shape.window()
    spent = [each for each in spent if only in (None, each.datname)]
    total_s = sum(each.counts["exec_s"] for each in spent)
    top = heaviest(spent, BY[by], limit)
    texts, error = _texts(source, [each.queryid for each in top])
    told = [_told(each, total_s, texts.get((each.dbid, each.queryid))) for each in top]
    return {**base, "window_s": round(window_s, 1), "queries": told, "error": error}


def _texts(
    source: Source, queryids: Sequence[int]
) -> tuple[Mapping[tuple[int, int], str], str | None]:
    """By database and id. Figures are worth telling without them, so what failed is only said."""
    if not queryids:
        return {}, None
    try:
        with session(source.target(), PURPOSE) as opened:
            return _asked(opened, queryids), None
    except (Unreachable, QueryFailed, SecretMissing, Lacking) as error:
        return {}, f"no texts: {error}"


def _asked(opened: Session, queryids: Sequence[int]) -> Mapping[tuple[int, int], str]:
    sql = TEXT_SQL.replace(EXTENSION_SCHEMA, quoted(schema_of(opened, EXTENSION)))
    rows = opened.query(sql, {"queryids": list(queryids)}, timeout_s=TEXT_TIMEOUT_S)
    return {(row["dbid"], row["queryid"]): mask(str(row["query"])) for row in rows}


def _told(each: Spent, total_s: float, text: str | None) -> Document:
    counts = each.counts
    calls = counts["calls"]
    return {
        "database": each.datname,
        "queryid": str(each.queryid),  # larger than what JSON's readers take for a number
        "calls": calls,
        "time_s": round(counts["exec_s"], 6),
        "share": round(counts["exec_s"] / total_s, 4) if total_s else None,
        "mean_ms": round(counts["exec_s"] / calls * 1000, 3) if calls else None,
        "rows": counts["rows"],
        "rows_per_call": round(counts["rows"] / calls, 2) if calls else None,
        "blocks_read": counts["blks_read"],
        "temp_blocks_written": counts["temp_blks_written"],
        "query": text,
    }
