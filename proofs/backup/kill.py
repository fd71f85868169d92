"""Proves that backups survive being killed at any point, full disks and I/O faults, and no secret.

Owns the rows; what goes wrong in which way is `faults`' and `hidden`'s business.
"""

import os
import random
import signal
import time
from contextlib import suppress

from proofs.backup.faults import faults
from proofs.backup.hidden import secrets
from proofs.backup.making import (
    KINDS,
    asked,
    partials,
    prepare,
    published,
    take,
    unsound,
    wait_for_none,
)
from proofs.rig import Rig, rig
from proofs.table import Context, Outcome, Row
from proofs.waiting import seconds_until

SWEEP_GOAL_S = 5.0
WORKER_EVERY = 4
"""Every so many-th trial a worker is killed instead of the daemon."""


def kill(context: Context) -> Outcome:
    """`kill -9` at random points; each time a restart, and a look at what is left."""
    chance = random.Random(20260304)  # the same points each time
    problems: list[str] = []
    sweeps: list[float] = []
    workers = left_partials = 0
    with rig(context) as stage:
        prepare(stage)
        stage.start()
        lasts = {kind: _usual_s(stage, subject, kind) for subject, kind in KINDS}
        trials = context.count(full=200, quick=6)
        for trial in range(trials):
            subject, kind = KINDS[(trial + trial // WORKER_EVERY) % len(KINDS)]
            after_s = chance.uniform(0, lasts[kind])
            before = published(stage)
            if trial % WORKER_EVERY == WORKER_EVERY - 1:
                workers += _kill_worker(stage, subject, kind, after_s)
            else:
                left_partials += _kill_daemon(stage, subject, kind, after_s)
                sweeps.append(_restart(stage))
            problems += _left(stage, before, f"{kind} at {after_s:.2f} s")
            if trial % 20 == 19:
                context.say(f"{trial + 1} of {trials}, {len(problems)} problems")
        problems += unsound(stage)
        counted = len(published(stage))
    measured = (
        f"{trials} kills ({workers} of a worker), {left_partials} partials left, 0 counted; "
        f"swept {max(sweeps):.1f} s "
        f"after a start at most; {counted} published, all verify; no backend left"
    )
    ok = not problems and max(sweeps) <= SWEEP_GOAL_S
    return Outcome(measured if not problems else f"{len(problems)} problems", ok, _few(problems))


def _usual_s(stage: Rig, subject: str, kind: str) -> float:
    """How long one takes, the first time left out."""
    take(stage, subject, kind)
    begun = time.monotonic()
    take(stage, subject, kind)
    return time.monotonic() - begun


def _kill_daemon(stage: Rig, subject: str, kind: str, after_s: float) -> int:
    """Partials that the dead daemon left."""
    with asked(stage, subject, kind):
        time.sleep(after_s)
        stage.kill()
    return len(partials(stage))


def _restart(stage: Rig) -> float:
    """Seconds from the start of the program to a folder without partials."""
    begun = time.monotonic()
    stage.start(wait_up=False)
    seconds_until(lambda: not partials(stage), 30, "partials swept")
    return time.monotonic() - begun


def _kill_worker(stage: Rig, subject: str, kind: str, after_s: float) -> int:
    """Kill one program that works for the daemon; 1 when there was one at that moment."""
    with asked(stage, subject, kind):
        time.sleep(after_s)
        killed = 0
        assert stage.daemon is not None
        for pid in stage.daemon.children()[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed = 1
    return killed


def _left(stage: Rig, before: dict[str, str], where: str) -> list[str]:
    """What a killed backup left that it must not."""
    after = published(stage)
    problems = [f"{where}: {n} is gone or changed" for n, h in before.items() if after.get(n) != h]
    problems += [
        f"{where}: {name} is visible without a manifest"
        for name in after.keys() - before.keys()
        if not (stage.backups / name / "manifest.json").is_file()
    ]
    problems += [f"{where}: {path.name} was left" for path in partials(stage)]
    problems += [
        f"{where}: a backend was left: {who}" for who in wait_for_none(stage, SWEEP_GOAL_S)
    ]
    return problems


def _few(problems: list[str]) -> str:
    return "; ".join(problems[:5])


ROWS: tuple[Row, ...] = (
    Row(
        "backup-kill",
        "kill -9 of the daemon or a worker at random points of dumps and base backups",
        "0 partial counted, swept within 5 s, no backend left",
        kill,
        alone=True,
    ),
    Row(
        "backup-faults",
        "disk full, files cut off, folder or disk gone in the middle of a backup",
        "no false success, published hashes equal, page within 60 s",
        faults,
    ),
    Row(
        "backup-secrets",
        "a run with a password login, watched from outside",
        "no secret in any argv, log or manifest; files 0600, folders 0700",
        secrets,
    ),
)
