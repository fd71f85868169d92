"""Proves what watching costs on a crowded server: 2,000 tables, 5,000 indexes, 500 sessions."""

from bench.crowd import Crowd
from bench.exporter import Cost, memory
from bench.exporter import measure as beside_exporter
from bench.passes import measure as of_a_pass
from proofs.table import Context, CouldNotRun, Outcome, Row

P99_GOAL_MS = 10.0
SERIES_GOAL = 3000
RSS_GOAL_MIB = 100.0
CORE_GOAL = 0.005
ALONE_S, BESIDE_S, STAYS_S, PASSES_S = 6 * 60, 3 * 60, 30 * 60, 3 * 60


def cost(context: Context) -> Outcome:
    """Scrapes of the daemon alone, then beside the exporter."""
    size = Crowd(200, 500, 50) if context.quick else Crowd()
    alone_s, beside_s = (4, 4) if context.quick else (ALONE_S, BESIDE_S)
    try:
        alone, beside = beside_exporter(
            context.folder, size, context.say, alone_s=alone_s, beside_s=beside_s
        )
    except FileNotFoundError as error:
        raise CouldNotRun(str(error)) from None
    claims = {
        f"p99 within {P99_GOAL_MS:g} ms": alone.p99_ms <= P99_GOAL_MS or context.quick,
        f"{SERIES_GOAL} series at most": beside[0].series <= SERIES_GOAL,
    }
    broken = [claim for claim, held in claims.items() if not held]
    measured = f"alone for {alone_s / 60:g} minutes {_said(alone)}; beside: " + "; ".join(
        f"{each.name} {_said(each)}" for each in beside
    )
    return Outcome(measured, not broken, "; ".join(broken))


def held(context: Context) -> Outcome:
    """Memory after half an hour of scrapes."""
    size = Crowd(200, 500, 50) if context.quick else Crowd()
    stays_s = context.count(full=STAYS_S, quick=5)
    found = memory(context.folder, size, context.say, stays_s)
    measured = f"{found.rss_mib:.1f} MiB after {stays_s / 60:.0f} minutes, {found.series} series"
    return Outcome(measured, found.rss_mib <= RSS_GOAL_MIB)


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
        "2,000 tables, 5,000 indexes, 500 sessions, one scrape a second, beside the exporter",
        f"p99 ≤ {P99_GOAL_MS:g} ms alone, ≤ {SERIES_GOAL:,} series",
        cost,
        alone=True,
    ),
    Row(
        "watching-memory",
        "The same crowd, scraped each second for half an hour: what the daemon holds",
        f"≤ {RSS_GOAL_MIB:g} MiB",
        held,
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
