"""Gate: the tree has one head. Two heads mean two people's work was not joined yet."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def heads(facts: Facts) -> Verdict:
    """Block a tree that branches: what runs today would hide from what runs tomorrow."""
    found = facts.plan.heads
    if len(found) == 1:
        return Verdict("heads", "pass", f"one head, {found[0]}", {"heads": list(found)})
    names = ", ".join(found)
    return Verdict("heads", "block", f"several heads ({names}); rebase one", {"heads": list(found)})
