"""Gate: no forgotten prepared transaction. It keeps its locks for ever, whoever waits."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def prepared_transactions(facts: Facts) -> Verdict:
    """Block while one is older than a transaction may be."""
    oldest_s = facts.live.oldest_prepared_s if facts.live else None
    if oldest_s is None:
        said = "prepared transactions were not looked at lately"
        return Verdict("prepared_transactions", "unknown", said)
    evidence = {"oldest_prepared_s": oldest_s}
    if oldest_s > facts.policy.long_transaction_s:
        said = (
            f"a transaction was prepared {oldest_s:.0f} s ago and keeps its locks; "
            "see SELECT * FROM pg_prepared_xacts and have its owner end it"
        )
        return Verdict("prepared_transactions", "block", said, evidence)
    return Verdict("prepared_transactions", "pass", "none is forgotten", evidence)
