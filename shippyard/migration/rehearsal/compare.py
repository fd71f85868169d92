"""Owns what differs between two looks at data."""

from shippyard.migration.rehearsal.data import DataTaken


def losses(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """What did not come back."""
    return ()


def unproven(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """What was not compared."""
    return ()


def columns_changed(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """Columns that were there and have other values now."""
    return ()
