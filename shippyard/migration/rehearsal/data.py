"""Owns checksums of all data of a database."""

from dataclasses import dataclass

from shippyard.postgres.target import Target


@dataclass(frozen=True)
class DataTaken:
    """Checksums by table and column."""


def take_data(target: Target, *, seconds: float) -> DataTaken:
    """Look at all of it."""
    return DataTaken()
