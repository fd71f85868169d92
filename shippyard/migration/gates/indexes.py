"""Gate: a table that gets an index has none to spare. Each one slows every write of the table."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.touches import plain


def indexes(facts: Facts) -> Verdict:
    """Warn of unused and duplicate indexes on a table that is to have another one."""
    indexed = facts.touches.indexed
    if not indexed:
        return Verdict("indexes", "pass", "no index is added")
    spare = facts.live.spare_indexes if facts.live else None
    if spare is None:
        said = f"indexes of {', '.join(sorted(indexed))} were not looked at lately"
        return Verdict("indexes", "unknown", said, override="approver")
    found = {table: list(names) for table, names in spare.items() if plain(table) in indexed}
    if found:
        said = "; ".join(f"{table} has {', '.join(names)}" for table, names in found.items())
        return Verdict("indexes", "warn", f"{said}; drop what nobody needs", {"spare": found})
    return Verdict("indexes", "pass", "none to spare where one is added")
