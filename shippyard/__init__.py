"""Shippyard: proves that backups restore, migrations are safe and the database is healthy."""

__version__ = "0.1.0"
