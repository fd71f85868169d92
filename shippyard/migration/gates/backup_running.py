"""Gate: no dump or digest reads the database now. It holds its locks and snapshot to its end."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict


def backup_running(facts: Facts) -> Verdict:
    """Block while a backup reads the whole database; a base backup is in nobody's way."""
    if not facts.reader_known:
        return Verdict("backup_running", "unknown", "who reads the database now can't be asked")
    if facts.reader is None:
        return Verdict("backup_running", "pass", "no dump is under way")
    said = f"{facts.reader} reads the whole database; wait for its end"
    return Verdict("backup_running", "block", said, {"reader": facts.reader})
