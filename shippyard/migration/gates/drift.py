"""Gate: the schema is what the last run left. What was changed by hand no plan was made for."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def drift(facts: Facts) -> Verdict:
    """Block a schema that somebody changed, where it counts; nothing is expected before a run."""
    if facts.goes_on:
        return Verdict("drift", "pass", "a run goes on half way")
    if facts.expected_fingerprint is None:
        return Verdict("drift", "pass", "nothing is expected yet: no run was done from here")
    if facts.fingerprint is None:
        return Verdict("drift", "unknown", "the schema can't be read now", override="approver")
    if facts.fingerprint == facts.expected_fingerprint:
        return Verdict("drift", "pass", "the schema is as the last run left it")
    said = f"the schema was changed; see `shippyard ctl migrate drift {facts.database}`"
    counts = facts.environment in ("staging", "production")
    return Verdict("drift", "block" if counts else "warn", said, override="approver")
