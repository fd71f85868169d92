"""Proves that the tree itself is in order: clean under its linters, and quick to test."""

import os
import sys
import time
from pathlib import Path

from proofs.program import Program, last_line, why_failed
from proofs.table import Context, CouldNotRun, Outcome
from proofs.waiting import Late

UNIT_GOAL_S = 10.0
TEST_GOAL_S = 300.0
TIMEOUT_S = 900.0
CORES = 2

LINTERS = {
    "import-linter": ("lint-imports", "--no-cache"),
    "mypy strict": ("mypy",),
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
}


def lint(context: Context) -> Outcome:
    """Each linter over the whole tree."""
    bin_dir = Path(sys.executable).parent
    wrong = {}
    for name, (program, *arguments) in LINTERS.items():
        status, _, said = _run(context, [str(bin_dir / program), *arguments])
        if status:
            wrong[name] = last_line(said)
    clean = [name for name in LINTERS if name not in wrong]
    note = "; ".join(f"{name}: {why}" for name, why in wrong.items())
    return Outcome(f"clean: {', '.join(clean) or 'none'}", ok=not wrong, note=note)


def unit_time(context: Context) -> Outcome:
    """All unit tests together, as `make unit` runs them, with all that it takes to start them."""
    status, elapsed_s, said = _run(context, ["make", "unit"])
    measured = f"{elapsed_s:.1f} s: {last_line(said)}"
    note = why_failed(said) if status else ""
    return Outcome(measured, ok=status == 0 and elapsed_s <= UNIT_GOAL_S, note=note)


def test_time(context: Context) -> Outcome:
    """`make test`, installed already, on two cores; a quick look takes the unit tests."""
    target = "unit" if context.quick else "test"
    status, elapsed_s, said = _run(context, [*_on_two_cores(), "make", target])
    note = why_failed(said) if status else "only make unit" if context.quick else ""
    measured = f"make {target}: {elapsed_s / 60:.1f} min, {last_line(said)}"
    return Outcome(measured, ok=status == 0 and elapsed_s <= TEST_GOAL_S, note=note)


def _on_two_cores() -> list[str]:
    have = sorted(os.sched_getaffinity(0))
    if len(have) < CORES:
        raise CouldNotRun(f"needs {CORES} cores, this machine has {len(have)}")
    return ["taskset", "--cpu-list", ",".join(map(str, have[:CORES]))]


def _run(context: Context, argv: list[str]) -> tuple[int, float, str]:
    """Exit status, seconds, and all that was said."""
    begun = time.monotonic()
    program = Program(argv, context.folder, f"run-{time.monotonic_ns()}")
    try:
        status = program.wait(TIMEOUT_S)
    except Late:
        status = -1
    finally:
        program.end()
    return status, time.monotonic() - begun, program.said()
