"""Proves that pages go out whatever is lost: an Alertmanager's memory, or room on our own disk."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proofs.paging.alertmanager import Alertmanager, alertmanager, example_grouping
from proofs.paging.ledger import read_entries
from proofs.paging.receivers import Desk
from proofs.paging.stage import RULE, linger, page_by, stage, state_of, troubles
from proofs.rig import Block, Rig
from proofs.table import Context, CouldNotRun, Outcome, Row
from proofs.waiting import seconds_until, until

BACK_GOAL_S = 60.0
BACK_WITHIN_S = 90.0
SEEN_WITHIN_S = 30.0
RESTARTS, QUICK_RESTARTS = 5, 1
NAMES = ("alpha", "beta", "gamma", "delta")
ENDED = "omega"
LATER_S = 7.0

DISK_MIB = 16
PAGE_GOAL_S = 13.0
RESOLVE_GOAL_S = 5.0
RECORDED_WITHIN_S = 90.0


def forgetful(context: Context) -> Outcome:
    """An Alertmanager dies with all that it knew, over and over, while things are wrong."""
    took: list[float] = []
    problems: list[str] = []
    with stage(context, ()) as (made, tools), _told(context, made, tools) as other:
        with troubles(made) as wrong:
            made.start()
            wrong.begin(*NAMES, ENDED)
            until(lambda: len(other.firing()) == len(NAMES) + 1, SEEN_WITHIN_S, "all is told")
            known = {each for each in other.firing() if ENDED not in each}
            for trial in range(context.count(full=RESTARTS, quick=QUICK_RESTARTS)):
                other.kill()
                wrong.end(ENDED)
                linger(LATER_S * trial)  # deaths meet the refresh at different moments
                other.start()
                took.append(seconds_until(lambda: known <= other.firing(), BACK_WITHIN_S, "back"))
                context.say(f"all {len(known)} back after {took[-1]:.1f} s")
            problems += [f"{each} is over, and fires" for each in other.firing() - known]
    measured = (
        f"{len(took)} restarts with nothing on its disk: all {len(known)} alerts back after "
        f"{', '.join(f'{each:.0f}' for each in took)} s"
    )
    return Outcome(measured, max(took) <= BACK_GOAL_S and not problems, "; ".join(problems))


@contextlib.contextmanager
def _told(context: Context, made: Rig, tools: Desk) -> Iterator[Alertmanager]:
    """An Alertmanager that the daemon tells, and nobody else."""
    with alertmanager(context.folder, tools.alerts.url, example_grouping()) as other:
        chosen = [each for each in tools.routes(other.url) if each["name"] == "am"]
        page_by(made, chosen, tools.secrets())
        yield other


@dataclass(frozen=True)
class Found:
    """What became of two incidents while nothing could be written, and after."""

    page_s: float
    resolve_s: float
    unkept: int
    kept_s: float
    keys: Sequence[str]

    @property
    def twice(self) -> int:
        """Messages that came again."""
        return len(self.keys) - len(set(self.keys))


def full_disk(context: Context) -> Outcome:
    """No byte is left for the state database; a block begins, and ends."""
    with _small_disk(context.folder / "small") as disk, stage(context) as (made, tools):
        made.document["daemon"]["state_dir"] = str(disk / "state")
        made.start()
        found = _page_without_room(made, tools, disk)
    measured = (
        f"0 bytes free, {found.unkept} of 2 incidents written down: page {found.page_s:.1f} s, "
        f"resolve {found.resolve_s:.1f} s; written down {found.kept_s:.1f} s after there was "
        f"room; {len(found.keys)} messages, {found.twice} twice"
    )
    claims = {
        "the disk was full": found.unkept == 0,
        f"page within {PAGE_GOAL_S:g} s": found.page_s <= PAGE_GOAL_S,
        f"resolve within {RESOLVE_GOAL_S:g} s": found.resolve_s <= RESOLVE_GOAL_S,
        "each once": not found.twice,
    }
    broken = [claim for claim, holds in claims.items() if not holds]
    return Outcome(measured, not broken, "; ".join(broken))


def _page_without_room(made: Rig, tools: Desk, disk: Path) -> Found:
    heard, state = tools.hook.kept, state_of(made)
    with troubles(made) as wrong:
        filler = _fill(disk)
        wrong.begin("alpha")
        heard.wait_for(RULE, "trigger", 0.0, SEEN_WITHIN_S)
        block = Block(made)
        paged = heard.wait_for("blocked", "trigger", block.begun, SEEN_WITHIN_S)
        assert not shutil.disk_usage(disk).free, "the disk is not full any more"
        ended = block.end()
        resolved = heard.wait_for("blocked", "resolve", ended, SEEN_WITHIN_S)
        wrong.end_all()
        heard.wait_for(RULE, "resolve", ended, SEEN_WITHIN_S)
    unkept = len(read_entries(state))
    filler.unlink()
    kept_s = seconds_until(lambda: len(read_entries(state)) >= 2, RECORDED_WITHIN_S, "written down")
    return Found(
        page_s=paged.at - block.begun,
        resolve_s=resolved.at - ended,
        unkept=unkept,
        kept_s=kept_s,
        keys=[each.told.key for each in heard.arrived],
    )


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A filesystem of its own, in memory.

    Raises:
        CouldNotRun: we may not mount.
    """
    folder.mkdir()
    program = shutil.which("mount")
    if os.geteuid() != 0 or program is None:
        raise CouldNotRun("a full disk needs a filesystem of its own: only root can mount one")
    argv = [program, "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CouldNotRun(f"no filesystem of its own for a full disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def _fill(disk: Path) -> Path:
    """A file that takes all the room there is, to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filler


ROWS = (
    Row(
        "page-alertmanager",
        "Alertmanager is killed and starts again with nothing on its disk",
        "all firing alerts back ≤ 60 s",
        forgetful,
    ),
    Row(
        "page-full-disk",
        "The disk of the state database is full",
        "pages and resolves still go out, in the same time",
        full_disk,
    ),
)
