"""Gate: every revision says how to undo it. Whether that brings data back is not known here."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def reversible(facts: Facts) -> Verdict:
    """Block a one-way revision in production, warn of it elsewhere."""
    one_way = [r.file for r in facts.plan.revisions if not r.reversible]
    if not one_way:
        return Verdict("reversible", "pass", "every revision has a downgrade")
    production = facts.environment == "production"
    return Verdict(
        "reversible",
        "block" if production else "warn",
        f"no downgrade in {', '.join(one_way)}; write one",
        {"files": one_way},
    )
