"""Owns filling columns of rows that are there. Provisional: one statement, until the batches come."""

from collections.abc import Mapping

from shippyard.migration.ops.steps import apart, qualified, quoted


def backfill(
    name: str,  # noqa: ARG001  the batches need it
    table: str,
    set_: Mapping[str, str],
    *,
    where: str | None = None,
    schema: str | None = None,
) -> None:
    """Set columns to expressions in the rows that `where` picks."""
    changes = ", ".join(f"{quoted(column)} = {value}" for column, value in set_.items())
    chosen = f" WHERE {where}" if where else ""
    with apart() as steps:
        steps.take(f"UPDATE {qualified(table, schema)} SET {changes}{chosen}")


def forget_backfill(name: str) -> None:
    """Forget how far a backfill came."""
