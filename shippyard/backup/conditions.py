"""Owns the names of what the backup room can find wrong. Who listens is not known here."""

RULES = (
    "backup_failed",
    "backup_late",
    "backup_untrusted",
    "drill_failed",
    "restore_running",
    "restore_slow",
    "loss_over_objective",
    "wal_gap",
    "wal_slot",
    "offsite_failed",
)
"""Alert rules that this room can break; each has its section in docs/runbooks.md."""
