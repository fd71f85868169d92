"""Steps for authors of revisions, each of which lets the application go on.

What each locks, how it is taken back and what a second try finds is said where it is defined. Those
that stand apart (all but `dual_write`, `forget_backfill` and what begins with `require`) end the
revision's transaction: they are alone in their revision.
"""

from shippyard.migration.ops.backfilling import backfill, forget_backfill, require_backfill
from shippyard.migration.ops.constraints import (
    add_check,
    add_foreign_key,
    add_not_null,
    add_unique,
)
from shippyard.migration.ops.dual_writing import drop_dual_write, dual_write
from shippyard.migration.ops.indexes import create_index_concurrently, drop_index_concurrently
from shippyard.migration.ops.roles import require_roles
from shippyard.migration.ops.steps import StepRefused

__all__ = [
    "StepRefused",
    "add_check",
    "add_foreign_key",
    "add_not_null",
    "add_unique",
    "backfill",
    "create_index_concurrently",
    "drop_dual_write",
    "drop_index_concurrently",
    "dual_write",
    "forget_backfill",
    "require_backfill",
    "require_roles",
]
