"""Rows that prove what is said of backups."""
