"""Owns the hazard corpus before our rules and before squawk: found, flagged, time for each case.

`.venv/bin/python -m bench.hazards`. squawk gets the same SQL, as Alembic renders it, without its
rules about timeouts: what a migration tool sets itself is no news. Nothing is told of the files.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.hazard_cases import Case, Score, load_cases, plan_of, score, write_tree
from shippyard.host.process import Processes
from shippyard.migration.hazards import Hazard, find_hazards
from shippyard.migration.hazards.squawk import find_squawk, run_squawk
from shippyard.migration.plan import Plan


@dataclass(frozen=True)
class Told:
    """How one of the two told the cases apart, and what a case took."""

    score: Score
    ms_per_case: float

    def __str__(self) -> str:
        told = self.score
        found = told.hazards - len(told.missed)
        return (
            f"{found} of {told.hazards} hazards ({found / told.hazards:.1%}), "
            f"{len(told.flagged)} of {told.safe} safe ones flagged, {self.ms_per_case:.1f} ms each"
        )


@dataclass(frozen=True)
class Compared:
    """Ours by text alone, and squawk's where it is installed."""

    ours: Told
    squawk: Told | None


def compare(processes: Processes, cases: Sequence[Case] = ()) -> Compared:
    """Both, over all cases or over some."""
    taken = tuple(cases) or load_cases()
    with tempfile.TemporaryDirectory() as folder:
        planned = {each.name: _planned(each, Path(folder) / each.name) for each in taken}
    ours = _ours(taken, planned)
    program = find_squawk() or _beside_python()
    return Compared(ours, _squawk(taken, planned, processes, program) if program else None)


def _planned(case: Case, folder: Path) -> tuple[Plan, Mapping[str, bytes]]:
    tree = write_tree(case, folder)
    return plan_of(tree, folder), tree.files


def _ours(cases: Sequence[Case], planned: Mapping[str, tuple[Plan, Mapping[str, bytes]]]) -> Told:
    started = time.perf_counter()
    found = {each.name: find_hazards(*planned[each.name]) for each in cases}
    took_ms = (time.perf_counter() - started) * 1000
    return Told(score(cases, found), took_ms / len(cases))


def _squawk(
    cases: Sequence[Case],
    planned: Mapping[str, tuple[Plan, Mapping[str, bytes]]],
    processes: Processes,
    program: str,
) -> Told:
    started = time.perf_counter()
    found = {each.name: _said(each, planned[each.name][0], processes, program) for each in cases}
    took_ms = (time.perf_counter() - started) * 1000
    return Told(score(cases, found), took_ms / len(cases))


def _said(case: Case, plan: Plan, processes: Processes, program: str) -> list[Hazard]:
    """Each thing that squawk says of the way that the case is about, as a warning."""
    rendered = plan.rendered if case.way == "up" else plan.undo
    said = []
    for name, each in rendered.items():
        for one in run_squawk(each.sql, processes, program) if each.sql else ():
            why = str(one.get("message", ""))
            rule = str(one.get("rule_name"))
            said.append(Hazard(rule, "warn", name, "", 1, case.way, "", why, "", source="squawk"))
    return said


def _beside_python() -> str | None:
    program = Path(sys.executable).with_name("squawk")
    return str(program) if program.exists() else None


def main() -> int:
    """Print both."""
    processes = Processes()
    try:
        found = compare(processes)
    finally:
        processes.end_all()
    print("shippyard", found.ours, sep="\t")
    print("squawk", found.squawk or "not installed", sep="\t")
    for name in (*found.ours.score.missed, *found.ours.score.flagged):
        print("", f"shippyard is wrong about {name}", sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())
