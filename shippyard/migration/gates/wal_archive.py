"""Gate: WAL leaves the server. What a migration writes would pile up, and no restore reach it."""

from shippyard.migration.facts import Facts, LiveFacts
from shippyard.migration.gates.verdict import Verdict

WARN_S = 120.0
BLOCK_S = 900.0


def wal_archive(facts: Facts) -> Verdict:
    """Block while archiving fails or is a quarter of an hour behind; warn of idle slots."""
    live = facts.live
    if live is None or live.archive_failing is None or live.archive_waiting_s is None:
        said = "archiving was not looked at lately; it needs pg_monitor"
        return Verdict("wal_archive", "unknown", said, override="approver")
    evidence = {
        "failing": live.archive_failing,
        "waiting_s": live.archive_waiting_s,
        "idle_slots": list(live.idle_slots or ()),
    }
    if wrong := _stuck(live, live.archive_waiting_s):
        said = f"{wrong}; see runbook archiver_failing"
        return Verdict("wal_archive", "block", said, evidence, override="approver")
    if risky := _risky(live, live.archive_waiting_s):
        return Verdict("wal_archive", "warn", risky, evidence)
    return Verdict("wal_archive", "pass", "WAL leaves the server", evidence)


def _stuck(live: LiveFacts, waiting_s: float) -> str | None:
    if live.archive_failing:
        return "WAL can't be archived"
    if waiting_s > BLOCK_S:
        return f"WAL has waited {waiting_s:.0f} s to be archived (limit {BLOCK_S:g} s)"
    return None


def _risky(live: LiveFacts, waiting_s: float) -> str | None:
    if waiting_s > WARN_S:
        return f"WAL has waited {waiting_s:.0f} s to be archived"
    if live.idle_slots is None:
        return "replication slots were not looked at lately"
    if live.idle_slots:
        return f"{', '.join(live.idle_slots)}: nobody receives, and all WAL is kept for it"
    return None
