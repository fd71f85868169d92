"""Proves that the demo stays up, and that the command it prints works from another terminal."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from proofs.program import Program, Ran, last_line, own_environment
from proofs.table import Context, Outcome
from proofs.waiting import until

TOUR_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 30.0
STOP_GOAL_S = 15.0
PRINTED = re.compile(r"^try:\s+(.+)$", re.MULTILINE)


def status(context: Context) -> Outcome:
    """`shippyard demo`, then exactly what it prints, then Ctrl-C."""
    demo = Program([str(Path(sys.executable).parent / "shippyard"), "demo"], context.folder, "demo")
    begun = time.monotonic()
    try:
        until(lambda: PRINTED.search(demo.said()) or not demo.running, TOUR_TIMEOUT_S, "the tour")
        printed = PRINTED.search(demo.said())
        if printed is None:
            return Outcome("-", ok=False, note=f"the demo ended: {last_line(demo.said())}")
        toured_s = time.monotonic() - begun
        for_people = _typed(printed[1])
        for_programs = _typed(f"{printed[1]} --json")
        asked = time.monotonic()
        demo.send(signal.SIGINT)
        ended = demo.wait(60)
        stopped_s = time.monotonic() - asked
    finally:
        demo.end()
    return _outcome(for_people, for_programs, ended, toured_s, stopped_s)


def _outcome(
    for_people: Ran, for_programs: Ran, ended: int, toured_s: float, stopped_s: float
) -> Outcome:
    databases = for_programs.document["databases"] if for_programs.returncode == 0 else []
    claims = {
        f"the printed command exits 0 ({last_line(for_people.stderr)})": for_people.returncode == 0,
        "it says something": bool(for_people.stdout.strip()),
        f"--json exits 0 ({last_line(for_programs.stderr)})": for_programs.returncode == 0,
        "every database is up": bool(databases) and all(each["up"] for each in databases),
        f"Ctrl-C ends it with 0 within {STOP_GOAL_S:g} s": ended == 0 and stopped_s <= STOP_GOAL_S,
    }
    broken = [f"not so: {claim}" for claim, holds in claims.items() if not holds]
    measured = (
        f"tour {toured_s:.1f} s; status exits {for_people.returncode}, "
        f"{len(databases)} database up; Ctrl-C ends it in {stopped_s:.1f} s"
    )
    return Outcome(measured, ok=not broken, note="; ".join(broken))


def _typed(line: str) -> Ran:
    done = subprocess.run(
        shlex.split(line),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=own_environment(),
        timeout=ANSWER_TIMEOUT_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
