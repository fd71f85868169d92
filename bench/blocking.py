"""Owns who blocks whom, asked three ways of the same pile-up: ours, the server's word, a self-join.

`pg_blocking_pids()` is the truth. `python -m bench.blocking [--waiters 500]`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.pileups import DATABASE, KINDS, Pileup, pileup, set_up, settings
from shippyard.config.models import Health
from shippyard.health.blocking import ROOTS_WALKED, Tree, tree_of
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.session import Session, open_session
from shippyard.postgres.tools import server_tools

SELF_JOIN = (Path(__file__).parent / "sql" / "strategy_blocking.sql").read_text()
TRUTH_SQL = """
SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker
FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) AS waiting
"""
TIMES = 5
Edges = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Seen:
    """One way's answer: pairs that are not so, waiters that it misses, and its median time."""

    false_edges: int
    missed_edges: int
    missed_waiters: int
    median_ms: float
    longest_ms: float

    def __str__(self) -> str:
        return (
            f"{self.false_edges} false, {self.missed_edges} missed, "
            f"{self.missed_waiters} waiters missed, {self.median_ms:.0f} ms"
        )


@dataclass(frozen=True)
class Compared:
    """One pile-up. `exact` is whether our roots and their victims are those that were made."""

    kind: str
    ours: Seen
    self_join: Seen
    exact: bool


def compare(folder: Path, waiters: int, say: Callable[[str], None]) -> Iterator[Compared]:
    """Every kind of pile-up, one after the other, on one server."""
    processes = Processes()
    with ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = EmbeddedCluster(folder, server_tools(processes), processes, settings(waiters))
        undo.callback(cluster.destroy)
        cluster.create()
        cluster.start()
        set_up(cluster)
        ours = open_session(cluster.target(DATABASE), "bench")
        undo.callback(ours.close)
        watcher = undo.enter_context(_watcher(cluster))
        for kind in KINDS:
            with pileup(cluster, watcher, kind, waiters) as stands:
                yield _compared(stands, ours, watcher)
            say(f"{kind} is over")


def _watcher(cluster: EmbeddedCluster) -> psycopg.Connection[Any]:
    target = cluster.target(DATABASE)
    return psycopg.connect(**target.conninfo(), autocommit=True, application_name="watcher")


def _compared(stands: Pileup, ours: Session, watcher: psycopg.Connection[Any]) -> Compared:
    truth = _edges(watcher, TRUTH_SQL)
    edges = next(check for check in load_checks(Health()) if check.name == "blocking_edges")
    tree, times = _timed(lambda: _tree(ours, edges))
    found = frozenset((p.pid, b) for p in tree.parties.values() for b in p.blockers)
    joined, join_times = _timed(lambda: _edges(watcher, SELF_JOIN))
    return Compared(
        stands.name,
        _seen(found, truth, times),
        _seen(joined, truth, join_times),
        _is_exact(tree, stands),
    )


def _tree(session: Session, edges: Check) -> Tree:
    sql = edges.sql_for(session.server_version)
    return tree_of(session.query(sql, edges.params, timeout_s=edges.timeout_s))


def _timed(ask: Callable[[], Any]) -> tuple[Any, list[float]]:
    times = []
    for _ in range(TIMES):
        begun = time.monotonic()
        answer = ask()
        times.append((time.monotonic() - begun) * 1000)
    return answer, times


def _edges(connection: psycopg.Connection[Any], sql: str) -> Edges:
    return frozenset((a, b) for a, b in connection.execute(sql.encode()).fetchall())


def _seen(found: Edges, truth: Edges, times: list[float]) -> Seen:
    missed = {pid for pid, _ in truth} - {pid for pid, _ in found}
    return Seen(
        len(found - truth),
        len(truth - found),
        len(missed),
        statistics.median(times),
        max(times),
    )


def _is_exact(tree: Tree, stands: Pileup) -> bool:
    """All roots counted, and those that are walked have just the victims that they were given."""
    walked = {root.party.pid: len(root.victims) for root in tree.roots}
    return (
        tree.roots_total == len(stands.victims)
        and len(walked) == min(ROOTS_WALKED, tree.roots_total)
        and walked.items() <= dict(stands.victims).items()
        and len(tree.victims) == sum(stands.victims.values())
    )


def main() -> None:
    """Print a line for each pile-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        Path(folder).chmod(0o755)
        for each in compare(Path(folder) / "postgres", asked.waiters, lambda _: None):
            ratio = each.self_join.median_ms / each.ours.median_ms
            print(f"{each.kind}: ours {each.ours}; self-join {each.self_join}, {ratio:.1f} times")


if __name__ == "__main__":
    main()
