"""Gate: the server answers and takes writes."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def server(facts: Facts) -> Verdict:
    """Block a standby; a server that does not answer is unknown."""
    if facts.server is None:
        return Verdict("server", "unknown", "the server does not answer")
    if facts.server.in_recovery:
        return Verdict("server", "block", "the server is in recovery; migrate its primary")
    return Verdict("server", "pass", "the server answers and takes writes")
