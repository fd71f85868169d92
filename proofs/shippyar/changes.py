"""Owns the row that says what the application notices of all revisions, beside a plain strategy."""

from bench.course import EMAIL, FULL, INDEX, OTHERS, QUICK, TIER, Course
from bench.stand import POLICY
from bench.strategy import Compared, compare, errors_of, revisions_of
from bench.waits import SHORTEST_MS
from proofs.table import Context, Outcome, Row

FULL_USERS, QUICK_USERS = 1_000_000, 50_000
COMPARED = (TIER, EMAIL, INDEX)
HOW = f"""\
blocked is the sum of a statement's waits of over {SHORTEST_MS} ms, as the server logged them, for \
locks of sessions that are not the application's, or for one that waits for such a one; latency \
runs from when a statement was due to its end, the wait for a free connection included; errors are \
those that the server gave, and people who are there and were not found; what follows a revision \
until the next one begins counts as its own"""


def changes(context: Context) -> Outcome:
    """Both ways through the changes, one after the other, on copies of one database."""
    users = context.count(full=FULL_USERS, quick=QUICK_USERS)
    pace = QUICK if context.quick else FULL
    found = compare(context.folder / "stand", users, pace, context.say)
    blocked_ms = _blocked_ms(found.ours)
    ok = (
        blocked_ms <= POLICY.lock_timeout_ms and not found.ours.whole.failed and not found.ours.lost
    )
    measured = (
        f"{users:,} users, {pace.rate:g} statements/s: longest blocked {blocked_ms:.0f} ms, "
        f"{found.ours.whole.failed} errors, {found.ours.lost} lost writes of "
        f"{found.ours.whole.count:,} statements; {_beside(found)}"
    )
    return Outcome(measured, ok=ok, note="; ".join(_noted(found)))


def _blocked_ms(course: Course) -> float:
    return max(course.longest_ms(change) for change in (*COMPARED, OTHERS))


def _beside(found: Compared) -> str:
    """p50 and p99 of each change, and the longest; the strategy's after the slash."""
    said = []
    for change in COMPARED:
        us, them = found.ours.figures(change), found.theirs.figures(change)
        p50, p99 = f"{us.p50_ms:.1f}/{them.p50_ms:.1f}", f"{us.p99_ms:.0f}/{them.p99_ms:.0f}"
        said.append(f"{change} p50 {p50}, p99 {p99}, max {us.max_ms:.0f}/{them.max_ms:.0f} ms")
    theirs_ms, failed = _blocked_ms(found.theirs), found.theirs.whole.failed
    return (
        f"beside the strategy's: {', '.join(said)}; the strategy's: blocked {theirs_ms:,.0f} ms, "
        f"{failed} errors, {found.theirs.lost} lost writes"
    )


def _noted(found: Compared) -> list[str]:
    ours = found.ours
    longest_ms = max(ours.figures(change).max_ms for change in (*COMPARED, OTHERS))
    more_ms = longest_ms - ours.quiet.max_ms
    quiet = f"quiet: p99 {ours.quiet.p99_ms:.0f}, max {ours.quiet.max_ms:.0f} ms"
    return [
        HOW,
        f"{quiet}; the longest statement during changes took {more_ms:.0f} ms more",
        f"errors, ours: {errors_of(ours)}",
        f"errors, the strategy's: {errors_of(found.theirs)}",
        *revisions_of(ours),
    ]


ROWS = (
    Row(
        "changes",
        "All revisions run under application traffic, and neither the old code nor the new notices",
        f"no error and no lost write, longest blocked statement ≤ {POLICY.lock_timeout_ms} ms",
        changes,
        alone=True,
    ),
)
