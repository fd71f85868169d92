"""Gate: no long autovacuum of a table of the plan. It gives way only to who waits for a second.

The server interrupts it for whoever has waited for `deadlock_timeout`; a runner whose lock timeout
is shorter never does, and its attempts are used up.
"""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.touches import plain

GIVES_WAY_MS = 1000
"""PostgreSQL's `deadlock_timeout`, as it is where nobody changed it."""


def autovacuum(facts: Facts) -> Verdict:
    """Warn while one works on a table that is changed for longer than a transaction may be open."""
    found = facts.live.autovacuums if facts.live else None
    if found is None:
        return Verdict("autovacuum", "unknown", "autovacuum was not looked at lately")
    if facts.policy.lock_timeout_ms > GIVES_WAY_MS:
        return Verdict("autovacuum", "pass", "it gives way to so long a lock_timeout")
    limit_s, tables = facts.policy.long_transaction_s, facts.touches.tables
    long = {name: age_s for name, age_s in found.items() if age_s > limit_s}
    touched = [name for name in long if plain(name) in tables or facts.touches.unknown]
    if not touched:
        return Verdict("autovacuum", "pass", "none works on a table of the plan for long")
    name = touched[0]
    said = (
        f"autovacuum has worked on {name} for {long[name]:.0f} s, and does not give way to a "
        f"lock_timeout of {facts.policy.lock_timeout_ms} ms; wait, or run VACUUM {name} before"
    )
    return Verdict("autovacuum", "warn", said, {"tables": long})
