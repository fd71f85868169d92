"""Runs lint and the suites, what fits together side by side, and says what was skipped and why.

With `STRICT=1` a skip is a failure. `python -m tests.run all|lint|unit|integration|acceptance`.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

LINT = (
    ("ruff check", ["ruff", "check", "."]),
    ("ruff format", ["ruff", "format", "--check", "-q", "."]),
    ("mypy", ["mypy"]),
    ("import-linter", ["lint-imports", "--no-cache"]),
)
# Units compute and use none of these plugins: two processes side by side, each with half of the
# files, take half the time of xdist's workers, which report each test to a third process. The
# others mostly wait for servers, so several workers run at once.
UNIT_SHARES = 2
SUITES = {
    "unit": ["-p", "no:xdist", "-p", "no:logging", "-p", "no:cacheprovider"],
    "integration": ["-n", "4", "--dist=loadfile"],
    "acceptance": ["-n", "2", "--dist=loadfile"],
}
# What runs side by side: mypy keeps one core busy, and acceptance waits even more than integration.
TOGETHER = (("unit", "lint"), ("integration", "acceptance"))

printing = Lock()


@dataclass(frozen=True)
class Program:
    """One of what runs; `report` is where pytest writes what it skipped."""

    name: str
    argv: Sequence[str]
    report: Path | None = None


def main(what: str) -> int:
    """Exit status: 0 when everything that was asked for passed."""
    if what not in {"all", "lint", *SUITES}:
        sys.exit(str(__doc__))
    started = time.monotonic()
    failed: list[str] = []
    skipped: list[tuple[str, str]] = []
    with TemporaryDirectory() as folder:
        for parts in TOGETHER if what == "all" else [(what,)]:
            programs = [each for part in parts for each in _programs(part, Path(folder))]
            failed += _failures(programs)
            skipped += [skip for each in programs for skip in _skips(each.report)]
    return _summary(failed, skipped, time.monotonic() - started)


def _programs(part: str, folder: Path) -> list[Program]:
    if part == "lint":
        return [Program(name, argv) for name, argv in LINT]
    return [
        Program(
            name := part if number == 1 else f"{part} {number}",
            ["pytest", *paths, "-q", f"--junit-xml={folder / name}.xml", *SUITES[part]],
            folder / f"{name}.xml",
        )
        for number, paths in enumerate(_shares(part), 1)
    ]


def _shares(suite: str) -> list[list[str]]:
    """What each of the processes of a suite is given."""
    if suite != "unit":
        return [[f"tests/{suite}"]]
    files = ROOT.glob("tests/unit/**/test_*.py")
    shares: list[list[Path]] = [[] for _ in range(UNIT_SHARES)]
    for file in sorted(files, key=lambda file: (-file.stat().st_size, file)):
        min(shares, key=lambda share: sum(one.stat().st_size for one in share)).append(file)
    return [sorted(str(file.relative_to(ROOT)) for file in share) for share in shares]


def _failures(programs: Sequence[Program]) -> list[str]:
    """Run side by side; gives who failed. The first is seen running, the others when they end."""
    with ThreadPoolExecutor(len(programs)) as threads:
        live = [True, *[False] * (len(programs) - 1)]
        passed = list(threads.map(_passes, programs, live))
    return [program.name for program, ok in zip(programs, passed, strict=True) if not ok]


def _passes(program: Program, live: bool) -> bool:  # noqa: FBT001  handed in by map()
    started = time.monotonic()
    with TemporaryFile("w+") as output:
        done = subprocess.run(
            [str(BIN / program.argv[0]), *program.argv[1:]],
            cwd=ROOT,
            check=False,
            stdout=None if live else output,
            stderr=None if live else subprocess.STDOUT,
        )
        output.seek(0)
        elapsed_s = time.monotonic() - started
        end = f"== {program.name}: exit {done.returncode} in {elapsed_s:.1f} s"
        with printing:
            print(f"\n{output.read()}{end}", flush=True)
    return done.returncode == 0


def _skips(report: Path | None) -> list[tuple[str, str]]:
    if report is None or not report.exists():
        return []
    cases = ET.parse(report).iter("testcase")
    return [
        (f"{case.get('classname')}::{case.get('name')}", str(skip.get("message")))
        for case in cases
        for skip in case.iter("skipped")
    ]


def _summary(failed: list[str], skipped: list[tuple[str, str]], elapsed_s: float) -> int:
    if skipped:
        print("\nskipped (STRICT=1 makes these failures):")
        for name, why in skipped:
            print(f"  {name}\n      {why}")
    if skipped and os.environ.get("STRICT") == "1":
        failed = [*failed, "skips"]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    print(f"\n{verdict} in {elapsed_s:.0f} s, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
