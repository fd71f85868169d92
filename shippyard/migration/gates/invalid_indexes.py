"""Gate: no leftover of a failed concurrent build that this plan would take for the real thing.

`CREATE INDEX CONCURRENTLY IF NOT EXISTS` on an INVALID index says it succeeded and builds nothing.
"""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def invalid_indexes(facts: Facts) -> Verdict:
    """Block when the plan names an INVALID index, warn when there is another one."""
    if facts.server is None:
        return Verdict("invalid_indexes", "unknown", "the server does not answer")
    found = list(facts.server.invalid_indexes)
    if not found:
        return Verdict("invalid_indexes", "pass", "no INVALID index")
    evidence = {"indexes": found}
    for name in found:
        if _is_named(name, facts):
            said = f"{name} is INVALID; run DROP INDEX CONCURRENTLY {name}, then plan again"
            return Verdict("invalid_indexes", "block", said, evidence)
    return Verdict("invalid_indexes", "warn", f"INVALID: {', '.join(found)}", evidence)


def _is_named(name: str, facts: Facts) -> bool:
    bare = name.rsplit(".", 1)[-1].strip('"')
    return any(bare in rendered.sql for rendered in facts.plan.rendered.values())
