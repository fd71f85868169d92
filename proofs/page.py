"""Proves that a blocked query pages in time, with its cause, and resolves when it is over."""

import statistics
import time
from typing import Any

from proofs.rig import Block, Rig, rig
from proofs.table import Context, Outcome
from shippyard.setup.receiver import Page

PAGE_GOAL_S = 13.0
RESOLVE_GOAL_S = 5.0
PATIENCE_S = 30.0

RULE = "blocked"


def page(context: Context) -> Outcome:
    """A block made by hand, once or several times; measured from the wait to the pager."""
    paged, resolved, wrong = [], [], []
    with rig(context) as stage:
        stage.start()
        for trial in range(context.count(full=5, quick=1)):
            to_page_s, to_resolve_s, problems = _trial(stage)
            context.say(f"trial {trial + 1}: page {to_page_s:.1f} s, resolve {to_resolve_s:.1f} s")
            paged.append(to_page_s)
            resolved.append(to_resolve_s)
            wrong += problems
    measured = (
        f"page {statistics.median(paged):.1f} s, at most {max(paged):.1f} s; "
        f"resolve {statistics.median(resolved):.1f} s, at most {max(resolved):.1f} s; "
        f"{len(paged)} trials"
    )
    in_time = max(paged) <= PAGE_GOAL_S and max(resolved) <= RESOLVE_GOAL_S
    return Outcome(measured, ok=in_time and not wrong, note="; ".join(wrong))


def _trial(stage: Rig) -> tuple[float, float, list[str]]:
    """Seconds to the page, seconds from doing what it says to the resolve, and what was wrong."""
    block = Block(stage)
    try:
        first = stage.pager.wait_for(RULE, "trigger", block.begun, PATIENCE_S)
        problems = _problems(first, block)
        ended = block.end_by(first.incident["evidence"]["roots"][0]["action"])
    finally:
        block.close()
    last = stage.pager.wait_for(RULE, "resolve", ended, PATIENCE_S)
    count = len(stage.pager.of(RULE, "trigger", block.begun))
    if count != 1:
        problems.append(f"paged {count} times for one block")
    if last.incident["id"] != first.incident["id"]:
        problems.append("resolved another incident than was paged")
    return first.at - block.begun, last.at - ended, problems


def _problems(page: Page, block: Block) -> list[str]:
    """What the page fails to say: the root, its victims, and the command that ends it."""
    evidence: dict[str, Any] = page.incident["evidence"]
    claims = {
        "names the root": [root["pid"] for root in evidence["roots"]] == [block.holder_pid],
        "names the victim": [one["pid"] for one in evidence["victims"]] == [block.waiter_pid],
        # Cancelling does nothing to a session that idles in its transaction.
        "gives the command": "pg_terminate_backend" in evidence["roots"][0]["action"],
        "is fresh": time.monotonic() - page.at < PATIENCE_S,
    }
    return [f"the page never {claim}" for claim, holds in claims.items() if not holds]
