"""Gate: there is room for the run's own connections, and for the application's while it waits."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict

WARN_RATIO = 0.9


def connections(facts: Facts) -> Verdict:
    """Warn when nine of ten connections are in use."""
    if facts.live is None:
        return Verdict("connections", "unknown", "the database was not polled lately")
    ratio = facts.live.connections_used_ratio
    answer = f"{ratio:.0%} of connections in use"
    return Verdict(
        "connections", "warn" if ratio >= WARN_RATIO else "pass", answer, {"used_ratio": ratio}
    )
