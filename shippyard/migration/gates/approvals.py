"""Gate: as many people as policy asks for have agreed to this very plan."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def approvals(facts: Facts) -> Verdict:
    """Block while an approval is missing, or somebody said no."""
    needed, standing = facts.policy.approvals, facts.approvals
    if needed == 0:
        return Verdict("approvals", "pass", "none is asked for")
    if standing is None:
        return Verdict("approvals", "unknown", "who approved can't be read")
    evidence = {"needed": needed, "by": list(standing.by)}
    if standing.rejected_by:
        said = f"{standing.rejected_by} said no; ask again with another plan"
        return Verdict("approvals", "block", said, evidence)
    if standing.missing:
        asked = f"asked for by {standing.requested_by}" if standing.requested_by else _how(facts)
        said = f"{standing.missing} of {needed} missing; {asked}"
        return Verdict("approvals", "block", said, evidence, override="emergency")
    by = ", ".join(standing.by)
    return Verdict("approvals", "pass", f"by {by}", evidence, expires_at=standing.expires_at)


def _how(facts: Facts) -> str:
    return f"ask: shippyard ctl migrate request {facts.plan.target}"
