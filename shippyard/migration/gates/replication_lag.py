"""Gate: replicas keep up. A rewrite sends the whole table through replication."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict

WARN_S = 5.0
BLOCK_S = 60.0


def replication_lag(facts: Facts) -> Verdict:
    """Warn above five seconds of lag, block above a minute."""
    if facts.live is None:
        return Verdict("replication_lag", "unknown", "the database was not polled lately")
    lag_s = facts.live.replication_lag_s
    if lag_s is None:
        return Verdict("replication_lag", "pass", "no replica is attached")
    evidence = {"lag_s": lag_s}
    if lag_s > BLOCK_S:
        said = f"a replica is {lag_s:.0f} s behind (limit {BLOCK_S:g} s); wait until it caught up"
        return Verdict("replication_lag", "block", said, evidence)
    answer = f"replicas are {lag_s:.1f} s behind"
    return Verdict("replication_lag", "warn" if lag_s > WARN_S else "pass", answer, evidence)
