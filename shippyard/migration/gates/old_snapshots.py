"""Gate: no old snapshot that a concurrent build would wait for, or that keeps dead rows alive."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def old_snapshots(facts: Facts) -> Verdict:
    """Block what builds concurrently while a snapshot is old, warn of it before anything else."""
    held_s = facts.live.oldest_snapshot_s if facts.live else None
    if held_s is None:
        return Verdict("old_snapshots", "unknown", "snapshots were not looked at lately")
    evidence = {"oldest_snapshot_s": held_s}
    limit_s = facts.policy.long_transaction_s
    if held_s <= limit_s:
        return Verdict("old_snapshots", "pass", "no snapshot is old", evidence)
    said = f"a snapshot is {held_s:.0f} s old (limit {limit_s:g} s)"
    if not facts.touches.waits_for_snapshots:
        return Verdict("old_snapshots", "warn", said, evidence)
    said = f"{said}, and CONCURRENTLY waits for it; see `shippyard ctl health`"
    return Verdict("old_snapshots", "block", said, evidence)
