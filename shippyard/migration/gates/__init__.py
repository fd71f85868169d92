"""The gates between a plan and production, one per file, and the one place that lists them.

Each is a pure function of `Facts`. `unknown` is an answer; whether it blocks is policy.
"""

from collections.abc import Callable, Collection, Sequence

from shippyard.config.migration import Migration
from shippyard.migration.facts import Facts
from shippyard.migration.gates.another_run import another_run
from shippyard.migration.gates.approvals import approvals
from shippyard.migration.gates.autovacuum import autovacuum
from shippyard.migration.gates.backup import backup
from shippyard.migration.gates.backup_running import backup_running
from shippyard.migration.gates.blockers import blockers
from shippyard.migration.gates.connections import connections
from shippyard.migration.gates.disk import disk
from shippyard.migration.gates.drift import drift
from shippyard.migration.gates.hazards import hazards
from shippyard.migration.gates.heads import heads
from shippyard.migration.gates.indexes import indexes
from shippyard.migration.gates.invalid_indexes import invalid_indexes
from shippyard.migration.gates.naming import naming
from shippyard.migration.gates.old_snapshots import old_snapshots
from shippyard.migration.gates.prepared_transactions import prepared_transactions
from shippyard.migration.gates.rehearsal import rehearsal
from shippyard.migration.gates.replication_lag import replication_lag
from shippyard.migration.gates.reversible import reversible
from shippyard.migration.gates.server import server
from shippyard.migration.gates.staging_first import staging_first
from shippyard.migration.gates.tree import tree
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.gates.wal_archive import wal_archive
from shippyard.migration.gates.windows import windows
from shippyard.migration.gates.wraparound import wraparound

GATES: tuple[Callable[[Facts], Verdict], ...] = (
    another_run,
    tree,
    heads,
    naming,
    reversible,
    hazards,
    rehearsal,
    staging_first,
    approvals,
    windows,
    server,
    drift,
    invalid_indexes,
    indexes,
    backup_running,
    blockers,
    old_snapshots,
    prepared_transactions,
    wraparound,
    autovacuum,
    connections,
    replication_lag,
    wal_archive,
    disk,
    backup,
)


ON_THE_WAY_BACK: frozenset[str] = frozenset(
    {
        "another_run",
        "server",
        "backup_running",
        "blockers",
        "old_snapshots",
        "prepared_transactions",
        "wraparound",
        "autovacuum",
        "connections",
        "replication_lag",
    }
)
"""Asked of a run that takes another one back: whether it would hurt now.

What it does was judged with the run itself, whose approval covers both ways.
"""


def ask_all(facts: Facts) -> tuple[Verdict, ...]:
    """What every gate says that is asked on this way."""
    return tuple(
        gate(facts) for gate in GATES if facts.way == "up" or gate.__name__ in ON_THE_WAY_BACK
    )


def first_blocking(
    verdicts: Sequence[Verdict],
    policy: Migration,
    overrides: Collection[str] = (),
    *,
    emergency: bool = False,
) -> Verdict | None:
    """The first verdict that forbids a run under this policy, or None when it may go on.

    `overrides` are gates that an approver lets pass; `emergency` says that two people want it.
    """
    return next(
        (
            each
            for each in verdicts
            if judge(each, policy) and not _is_let_pass(each, overrides, emergency=emergency)
        ),
        None,
    )


def judge(verdict: Verdict, policy: Migration) -> bool:
    """True when this verdict blocks."""
    return verdict.verdict == "block" or (verdict.verdict == "unknown" and policy.unknown_blocks)


def _is_let_pass(verdict: Verdict, overrides: Collection[str], *, emergency: bool) -> bool:
    if verdict.override == "approver" and verdict.gate in overrides:
        return True
    return emergency and verdict.override != "nobody"
