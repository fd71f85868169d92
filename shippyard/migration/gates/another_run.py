"""Gate: one run per database at once."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def another_run(facts: Facts) -> Verdict:
    """Block while a run of the same database is under way."""
    if facts.active_run is None:
        return Verdict("another_run", "pass", "no other run is under way")
    return Verdict(
        "another_run",
        "block",
        f"run {facts.active_run} is under way; see `shippyard ctl migrate history`",
        {"run": facts.active_run},
    )
