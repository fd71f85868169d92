"""Owns the way through the repository's own revisions, and when which code is deployed meanwhile.

They are applied as the daemon does it: plan, child, lock_timeout, attempts.
"""

import time

from bench.course import BETWEEN, EMAIL, FIRST_CODE, INDEX, OTHERS, TIER, Course, Going, Pace, run
from bench.stand import POLICY, Migrator, Stand
from shippyard.migration.tree import read_tree

# What each revision belongs to; those that are not here belong to the others.
PARTS = {
    TIER: ("003", "004", "005", "006"),
    EMAIL: ("007", "008", "010", "011", "012", "013"),
    INDEX: ("009",),
}

# The code that comes in after a revision; the one of before goes before the next revision.
DEPLOYED = {"006": "tier", "011": "email_v2", "019": "account_of"}


def our_way(stand: Stand, dbname: str, pace: Pace) -> Course:
    """All revisions up to head, under traffic.

    Raises:
        ChangeFailed, TrafficFailed: it did not come to an end.
    """
    migrator = Migrator(stand, dbname)

    def way(going: Going) -> None:
        code = FIRST_CODE
        for last, after in _runs():
            going.note(BETWEEN, f"planning {last}", time.time())
            for each in migrator.apply(last):
                going.note(_part_of(each.revision), each.revision, each.begun, each.wall_s)
            going.settle()
            if after:
                going.replace(code, after)
                code = after

    return run(stand, dbname, pace, way, column="email_v2")


def _runs() -> list[tuple[str, str | None]]:
    """The last revision of each run, and the code that comes in after it."""
    tree = read_tree(POLICY.alembic_ini)
    # names begin with a number
    head = max(path.rpartition("/")[2].partition("_")[0] for path in tree.version_files())
    return [*DEPLOYED.items(), (head, None)]


def _part_of(revision: str) -> str:
    return next((name for name, revisions in PARTS.items() if revision in revisions), OTHERS)
