"""Runs the suites one after the other and says at the end what was skipped and why.

With `STRICT=1` a skip is a failure. `python -m tests.run all|lint|unit|integration|acceptance`.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

LINT = (
    ("ruff check", ["ruff", "check", "."]),
    ("ruff format", ["ruff", "format", "--check", "-q", "."]),
    ("mypy", ["mypy"]),
    ("import-linter", ["lint-imports", "--no-cache"]),
)
# Units keep both cores busy with two workers, and use none of these plugins; the others mostly wait
# for servers, so several run at once.
SUITES = {
    "unit": ["-n", "2", "-p", "no:logging", "-p", "no:cacheprovider"],
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
            report = Path(folder) / f"{suite}.xml"
            argv = ["pytest", f"tests/{suite}", "-q", f"--junit-xml={report}"]
            argv += SUITES[suite]
            if not _passes(suite, argv):
                failed.append(suite)
            skipped += _skips(report)
    return _summary(failed, skipped, time.monotonic() - started)


def _passes(name: str, argv: list[str]) -> bool:
    started = time.monotonic()
    print(f"== {name}", flush=True)
    done = subprocess.run([str(BIN / argv[0]), *argv[1:]], cwd=ROOT, check=False)
    print(f"== {name}: exit {done.returncode} in {time.monotonic() - started:.1f} s", flush=True)
    return done.returncode == 0


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
