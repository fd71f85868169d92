"""Runs the suites one after the other and says at the end what was skipped and why.

With `STRICT=1` a skip is a failure. `python -m tests.run all|lint|unit|integration|acceptance`.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

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
    "acceptance": ["-n", "3", "--dist=loadfile"],
}


def main(what: str) -> int:
    """Exit status: 0 when everything that was asked for passed."""
    started = time.monotonic()
    failed: list[str] = []
    skipped: list[tuple[str, str]] = []
    if what in {"lint", "all"}:
        failed += [name for name, argv in LINT if not _passes(name, argv)]
    with TemporaryDirectory() as folder:
        for suite in SUITES if what == "all" else [what] if what in SUITES else []:
            shares = _shares(suite)
            reports = [Path(folder) / f"{suite}-{n}.xml" for n in range(len(shares))]
            argvs = [
                ["pytest", *paths, "-q", f"--junit-xml={report}", *SUITES[suite]]
                for paths, report in zip(shares, reports, strict=True)
            ]
            if not _passes(suite, *argvs):
                failed.append(suite)
            skipped += [skip for report in reports for skip in _skips(report)]
    return _summary(failed, skipped, time.monotonic() - started)


def _shares(suite: str) -> list[list[str]]:
    """What each of the processes that run side by side is given."""
    if suite != "unit":
        return [[f"tests/{suite}"]]
    files = ROOT.glob("tests/unit/**/test_*.py")
    shares: list[list[Path]] = [[] for _ in range(UNIT_SHARES)]
    for file in sorted(files, key=lambda file: (-file.stat().st_size, file)):
        min(shares, key=lambda share: sum(one.stat().st_size for one in share)).append(file)
    return [sorted(str(file.relative_to(ROOT)) for file in share) for share in shares]


def _passes(name: str, *argvs: list[str]) -> bool:
    """Whether all of these programs, side by side, exit with 0; the first one is seen running."""
    started = time.monotonic()
    print(f"== {name}", flush=True)
    with contextlib.ExitStack() as stack:
        outputs = [None, *(stack.enter_context(TemporaryFile()) for _ in argvs[1:])]
        running = [
            subprocess.Popen(
                [str(BIN / argv[0]), *argv[1:]],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
            )
            for argv, output in zip(argvs, outputs, strict=True)
        ]
        codes = [program.wait() for program in running]
        for output in filter(None, outputs):
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
    code = next(filter(None, codes), 0)
    print(f"== {name}: exit {code} in {time.monotonic() - started:.1f} s", flush=True)
    return code == 0


def _skips(report: Path) -> list[tuple[str, str]]:
    if not report.exists():
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
