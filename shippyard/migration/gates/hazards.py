"""Gate: what the plan's own text shows. A hazard is let pass by its author's reason beside it."""

from collections.abc import Sequence

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.hazards.model import Hazard

SHOWN = 3
WHERE_IT_COUNTS = ("staging", "production")
"""Staging too, so that it is found before; on a developer's machine a table in use is nobody's."""


def hazards(facts: Facts) -> Verdict:
    """Block a hazard that would hurt or fail where it counts, warn of a risky one."""
    if facts.hazards is None:
        return Verdict("hazards", "unknown", "the plan was not looked over", override="approver")
    standing = [each for each in facts.hazards if each.flags]
    blocking = [each for each in standing if each.level == "block"]
    allowed = sum(1 for each in facts.hazards if each.suppressed)
    evidence = {"block": len(blocking), "warn": len(standing) - len(blocking), "allowed": allowed}
    if blocking and facts.environment in WHERE_IT_COUNTS:
        said = f"{_told(blocking)}; write it the safe way, or say why it is safe beside it"
        return Verdict("hazards", "block", said, evidence, override="approver")
    if standing:
        return Verdict("hazards", "warn", _told(standing), evidence)
    answer = f"none; {allowed} allowed by their authors" if allowed else "none"
    return Verdict("hazards", "pass", answer, evidence)


def _told(found: Sequence[Hazard]) -> str:
    named = ", ".join(f"{each.id} at {each.file}:{each.line}" for each in found[:SHOWN])
    more = len(found) - SHOWN
    return f"{named} and {more} more" if more > 0 else named
