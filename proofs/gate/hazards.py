"""Owns the row that says how well hazards are told from text, beside squawk, on proven cases."""

from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from bench.hazard_cases import GOAL_FOUND, Case, Score, load_cases, write_tree
from bench.hazard_witness import shows, witness
from bench.hazards import Compared, compare
from proofs.table import Context, Outcome, Row
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.tools import server_tools

QUICK_CASES = 12
CASES_MIN = 60


def hazards(context: Context) -> Outcome:
    """Each label is shown on a server first: every case in full, one in ten in a quick look."""
    cases = load_cases()
    processes = Processes()
    try:
        step = 1 if not context.quick else len(cases) // QUICK_CASES
        untrue = _untrue(cases[::step], context.folder, processes)
        context.say(f"{len(cases[::step])} labels looked at on a server")
        found = compare(processes)
    finally:
        processes.end_all()
    ours = found.ours.score
    return Outcome(
        _measured(len(cases), len(cases[::step]), found),
        ok=not untrue and ours.holds and len(cases) >= CASES_MIN,
        note=_noted(untrue, ours, {case.name for case in cases if case.needs}),
    )


def _measured(cases: int, proven: int, found: Compared) -> str:
    return (
        f"{cases} cases ({proven} labels proven now): by text alone {found.ours}; "
        f"squawk {found.squawk or 'is not installed'}"
    )


def _noted(untrue: list[str], ours: Score, needing: set[str]) -> str:
    missed = [name for name in ours.missed if name not in needing]
    said = [f"only data shows {', '.join(sorted(needing))}: the rehearsal's"]
    said += [f"labels that are not true: {', '.join(untrue)}"] if untrue else []
    said += [f"missed: {', '.join(missed)}"] if missed else []
    said += [f"safe and flagged: {', '.join(ours.flagged)}"] if ours.flagged else []
    return "; ".join(said)


def _untrue(cases: tuple[Case, ...], folder: Path, processes: Processes) -> list[str]:
    """The cases that PostgreSQL does not agree with."""
    with embedded_cluster(server_tools(processes), processes) as cluster:
        return [
            case.name
            for number, case in enumerate(cases)
            if not _is_true(case, folder / case.name, cluster, f"case_{number}")
        ]


def _is_true(case: Case, folder: Path, cluster: EmbeddedCluster, name: str) -> bool:
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    write_tree(case, folder)
    return shows(case, witness(case, folder, replace(cluster.target(), dbname=name)))


ROWS = (
    Row(
        "hazards",
        "Hazards are told from a migration's text before it runs, and what is safe is left alone",
        f"≥ {GOAL_FOUND:.0%} of hazards found, ≤ 1 in 12 safe cases flagged, ≥ {CASES_MIN} cases",
        hazards,
    ),
)
