"""The daemon's own memory: SQLite, so that it works while PostgreSQL is down."""
