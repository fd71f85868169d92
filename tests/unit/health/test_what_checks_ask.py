"""Shipped checks ask nothing that takes a lock, reads too much, or has no end."""

import re
from pathlib import Path

import pytest

from shippyard.health.loader import SHIPPED_DIR

FILES = sorted(SHIPPED_DIR.glob("*.sql"))

# Each opens the relation, and so waits behind its DDL.
LOCKING = re.compile(
    r"::\s*reg(class|type)|\bto_reg\w+|pg_get_\w+def|pg_get_expr|pg_(total_)?relation_size"
    r"|pg_(table|indexes)_size|pg_read_all_data|\bpg_authid\b|\bpg_shadow\b",
    re.IGNORECASE,
)
COMMENT = re.compile(r"--.*")
# Nothing but aggregates: one row, whatever there is.
ONE_ROW = {
    "archiver",
    "archiver_backlog",
    "blocking_roots",
    "checkpoints",
    "connection_limits",
    "ddl_queue",
    "replication_standby",
    "server",
    "settings_pending",
    "statements_info",
    "wal",
    "wal_dir",
}


def asked(path: Path) -> str:
    """The statement without its comments."""
    return COMMENT.sub("", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_check_takes_no_lock_on_what_it_looks_at(path: Path) -> None:
    assert not LOCKING.search(asked(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_answer_has_an_end(path: Path) -> None:
    name = path.name.split(".")[0]
    assert name in ONE_ROW or re.search(r"\bLIMIT [0-9]+\b", asked(path))
