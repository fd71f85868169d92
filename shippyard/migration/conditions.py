"""Owns the names of what migrations can find wrong. Who listens is not known here."""

RULES = (
    "migration_failed",
    "migration_damaged",
    "migration_hurting",
    "migration_emergency",
    "rehearsal_failed",
    "schema_drift",
)
"""Alert rules that migrations can break; each has its section in docs/runbooks.md."""
