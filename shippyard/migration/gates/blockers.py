"""Gate: nothing is in the way now. A lock request behind a long transaction stops everyone."""

from shippyard.migration.facts import Facts, LiveFacts
from shippyard.migration.gates.verdict import Verdict


def blockers(facts: Facts) -> Verdict:
    """Block while sessions wait for locks or a transaction is older than policy allows."""
    live = facts.live
    if live is None:
        return Verdict(
            "blockers", "unknown", "the database was not polled lately; see `shippyard ctl health`"
        )
    reason = _in_the_way(live, facts.policy.long_transaction_s)
    evidence = {
        "blocked_sessions": live.blocked_sessions,
        "longest_transaction_s": live.longest_transaction_s,
        "observed_age_s": live.observed_age_s,
    }
    if reason:
        return Verdict("blockers", "block", f"{reason}; see `shippyard ctl health`", evidence)
    return Verdict("blockers", "pass", "nothing blocks and no transaction is long", evidence)


def _in_the_way(live: LiveFacts, limit_s: float) -> str | None:
    if live.blocked_sessions:
        return f"{live.blocked_sessions} blocked sessions"
    if live.longest_transaction_s > limit_s:
        return f"a transaction is open for {live.longest_transaction_s:.0f} s (limit {limit_s:g} s)"
    return None
