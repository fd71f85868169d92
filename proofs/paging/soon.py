"""Proves that a page comes in time on every channel, and long before the usual way's."""

from bench.page import Compared, Times, measure
from proofs.table import Context, Outcome, Row

TRIALS = 3
PAGE_GOAL_S = 13.0
RESOLVE_GOAL_S = 5.0
RATIO_GOAL = 0.2


def soon(context: Context) -> Outcome:
    """Blocks made by hand; all channels and, unless it is a quick look, Prometheus beside."""
    trials = context.count(full=TRIALS, quick=1)
    found = measure(context.folder, trials, context.say, beside=not context.quick)
    late = [each.channel for each in found.ours if not _in_time(each)]
    notes = [f"late: {each}" for each in late]
    notes += [] if _is_soon(found) else [f"more than {RATIO_GOAL:g} of Prometheus's time"]
    notes += [] if found.usual else ["Prometheus is beside it in a full run only"]
    measured = "; ".join(str(each) for each in (*found.ours, found.usual) if each)
    return Outcome(f"{measured}{_ratio(found)}", not late and _is_soon(found), "; ".join(notes))


def _in_time(each: Times) -> bool:
    return max(each.page_s) <= PAGE_GOAL_S and max(each.resolve_s) <= RESOLVE_GOAL_S


def _is_soon(found: Compared) -> bool:
    return found.ratios is None or max(found.ratios) <= RATIO_GOAL


def _ratio(found: Compared) -> str:
    if found.ratios is None:
        return ""
    page, resolve = found.ratios
    return (
        f"; our slowest takes {page:.3f} of Prometheus's time to the page, {resolve:.3f} to its end"
    )


ROWS = (
    Row(
        "page-time",
        "From a block to the page and from its end to the resolve, beside Prometheus",
        f"page ≤ {PAGE_GOAL_S:g} s, resolve ≤ {RESOLVE_GOAL_S:g} s on every channel; "
        "≤ 1/5 of Prometheus and Alertmanager",
        soon,
        alone=True,
    ),
)
