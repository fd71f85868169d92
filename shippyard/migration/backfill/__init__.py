"""Filling columns of rows that are there: in batches that nobody feels, from where it stopped.

Knows neither Alembic nor the daemon: it is given a connection.
"""
