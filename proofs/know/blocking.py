"""Proves that who blocks whom is told exactly, quickly and soon."""

import random
import time
from dataclasses import dataclass

from bench.blocking import Compared, compare
from proofs.rig import Block, rig
from proofs.table import Context, Outcome, Row
from proofs.waiting import seconds_until, until

WAITERS, QUICK_WAITERS = 500, 60
TREE_GOAL_MS = 250.0
TRIALS, QUICK_TRIALS = 30, 4
P95_GOAL_S = 1.2
PATIENCE_S = 15.0
BLOCKED = "shippyard_health_blocked_sessions"


def exact(context: Context) -> Outcome:
    """Five kinds of pile-up, ours beside the self-join, both against the server's own word."""
    waiters = context.count(full=WAITERS, quick=QUICK_WAITERS)
    found = list(compare(context.folder / "postgres", waiters, context.say))
    broken = [each.kind for each in found if not _holds(each)]
    measured = f"{waiters} waiters: " + "; ".join(map(_told, found))
    return Outcome(measured, not broken, ", ".join(broken))


def _holds(each: Compared) -> bool:
    ours = each.ours
    is_same = not (ours.false_edges or ours.missed_edges or ours.missed_waiters)
    return each.exact and is_same and ours.longest_ms <= TREE_GOAL_MS


def _told(each: Compared) -> str:
    ours, other = each.ours, each.self_join
    return (
        f"{each.kind} {ours.false_edges} false, {ours.missed_edges} missed, roots and victims "
        f"{'exact' if each.exact else 'WRONG'}, {ours.median_ms:.0f} ms, at most "
        f"{ours.longest_ms:.0f} (self-join {other.false_edges} false, {other.missed_edges} missed, "
        f"{other.median_ms:.0f} ms)"
    )


@dataclass
class Trials:
    """How long each block took to be seen."""

    seconds: list[float]

    @property
    def p95_s(self) -> float:
        """19 of 20 took at most this."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def detection(context: Context) -> Outcome:
    """From the moment that somebody waits to the moment that a scrape shows it."""
    trials = Trials([])
    chance = random.Random(7)
    with rig(context) as stage:
        stage.start()
        until(lambda: stage.scrape().value(BLOCKED) == 0, PATIENCE_S, "nobody blocked")
        for _ in range(context.count(full=TRIALS, quick=QUICK_TRIALS)):
            time.sleep(chance.random())  # blocks begin at any moment between two polls
            block = Block(stage)
            trials.seconds.append(
                seconds_until(lambda: stage.scrape().value(BLOCKED), PATIENCE_S, "the block seen")
            )
            block.end()
            until(lambda: stage.scrape().value(BLOCKED) == 0, PATIENCE_S, "nobody blocked")
    middle = sorted(trials.seconds)[len(trials.seconds) // 2]
    measured = (
        f"{len(trials.seconds)} blocks, polled each second: p50 {middle:.2f} s, "
        f"p95 {trials.p95_s:.2f} s, at most {max(trials.seconds):.2f} s"
    )
    return Outcome(measured, trials.p95_s <= P95_GOAL_S)


ROWS = (
    Row(
        "blocking",
        "Who blocks whom at 500 waiters, five kinds of pile-up, against pg_blocking_pids()",
        f"0 false, 0 missed, roots and victims exact, ≤ {TREE_GOAL_MS:g} ms",
        exact,
        alone=True,
    ),
    Row(
        "detection",
        "A block is seen by a scrape, polled each second",
        f"p95 ≤ {P95_GOAL_S:g} s over {TRIALS} trials",
        detection,
        alone=True,
    ),
)
