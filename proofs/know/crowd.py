"""Proves what watching costs on a crowded server: 2,000 tables, 5,000 indexes, 500 sessions."""

from bench.crowd import Crowd
from bench.exporter import Cost
from bench.exporter import measure as beside_exporter
from bench.passes import measure as of_a_pass
from proofs.table import Context, CouldNotRun, Outcome, Row

P99_GOAL_MS = 10.0
SERIES_GOAL = 3000
RSS_GOAL_MIB = 100.0
CORE_GOAL = 0.005
ALONE_S, BESIDE_S, STAYS_S, PASSES_S = 6 * 60, 3 * 60, 30 * 60, 3 * 60


def cost(context: Context) -> Outcome:
    """Scrapes of the daemon alone, then beside the exporter; memory after half an hour of them."""
    size = Crowd(200, 500, 50) if context.quick else Crowd()
    alone_s, beside_s, stays_s = (4, 4, 0) if context.quick else (ALONE_S, BESIDE_S, STAYS_S)
    try:
        alone, (ours, *others), rss_mib = beside_exporter(
            context.folder, size, context.say, alone_s=alone_s, beside_s=beside_s, stays_s=stays_s
        )
    except FileNotFoundError as error:
        raise CouldNotRun(str(error)) from None
    claims = {
        f"p99 within {P99_GOAL_MS:g} ms": alone.p99_ms <= P99_GOAL_MS or context.quick,
        f"{SERIES_GOAL} series at most": ours.series <= SERIES_GOAL,
        f"{RSS_GOAL_MIB:g} MiB at most": rss_mib <= RSS_GOAL_MIB,
    }
    broken = [claim for claim, held in claims.items() if not held]
    measured = f"alone for {alone_s / 60:g} minutes {_said(alone)}; beside: " + "; ".join(
        f"{each.name} {_said(each)}" for each in (ours, *others)
    )
    measured += f"; {rss_mib:.1f} MiB after {stays_s / 60:g} minutes"
    return Outcome(measured, not broken, "; ".join(broken))


def _said(cost: Cost) -> str:
    return (
        f"scrape {cost.median_ms:.1f} ms, p99 {cost.p99_ms:.1f} ms, {cost.series} series, "
        f"{cost.program + cost.server:.2%} of a core"
    )


def fast_pass(context: Context) -> Outcome:
    """CPU of both sides."""
    size = Crowd(100, 250, 50) if context.quick else Crowd()
    found = of_a_pass(context.folder, size, context.count(full=PASSES_S, quick=10))
    return Outcome(str(found), found.core <= CORE_GOAL or context.quick)


ROWS = (
    Row(
        "watching-cost",
        "Half an hour on 2,000 tables, 5,000 indexes, 500 sessions, one scrape a second",
        f"p99 ≤ {P99_GOAL_MS:g} ms, ≤ {SERIES_GOAL:,} series, ≤ {RSS_GOAL_MIB:g} MiB",
        cost,
        alone=True,
    ),
    Row(
        "fast-pass",
        "The same crowd: what a pass of all fast checks costs each 5 s, on both sides",
        f"≤ {CORE_GOAL:.1%} of a core",
        fast_pass,
        alone=True,
    ),
)
