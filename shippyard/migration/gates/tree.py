"""Gate: nobody but root and the daemon's user can write the files that are about to be executed."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def tree(facts: Facts) -> Verdict:
    """Warn; in staging and production such a tree is not even planned from."""
    if facts.exposed is None:
        return Verdict("tree", "pass", "nobody else can write the tree")
    is_strict = facts.environment in ("staging", "production")
    return Verdict("tree", "block" if is_strict else "warn", facts.exposed)
