"""Gate: autovacuum does not freeze a table of the plan now. That one gives way to nobody."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.touches import plain


def wraparound(facts: Facts) -> Verdict:
    """Block while a table that is changed is vacuumed to prevent wraparound."""
    frozen = facts.live.freeze_vacuums if facts.live else None
    if frozen is None:
        return Verdict("wraparound", "unknown", "autovacuum was not looked at lately")
    touched = [name for name in frozen if plain(name) in facts.touches.tables]
    evidence = {"tables": list(frozen)}
    if touched:
        said = f"{touched[0]} is vacuumed to prevent wraparound, and its lock is not given up"
        return Verdict("wraparound", "block", f"{said}; wait for its end", evidence)
    if frozen and facts.touches.unknown:
        said = f"{frozen[0]} is vacuumed to prevent wraparound; does the plan change it? rehearse"
        return Verdict("wraparound", "unknown", said, evidence, override="approver")
    return Verdict("wraparound", "pass", "no table of the plan is being frozen", evidence)
