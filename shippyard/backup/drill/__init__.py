"""Drills: backups restored into a sandbox, compared and timed."""
