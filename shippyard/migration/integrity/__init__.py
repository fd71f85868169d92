"""Whether a database is as whole after a run as it was before, but for what the plan changes."""

from shippyard.migration.integrity.judging import compare
from shippyard.migration.integrity.model import Changes, Integrity, Snapshot
from shippyard.migration.integrity.taking import expected_of, take

__all__ = ["Changes", "Integrity", "Snapshot", "compare", "expected_of", "take"]
