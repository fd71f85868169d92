"""Migrations: plan, gates, run, record. User code runs in child processes, never in the daemon."""
