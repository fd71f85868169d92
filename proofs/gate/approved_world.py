"""Owns a plan that was asked for and approved, and what its gate says when something of it changes.

Everything is asked as a run asks it: the tree read from disk, the plan's hash, the book, the gate.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shippyard.config.migration import Migration
from shippyard.migration.approvals.book import Book, Subject
from shippyard.migration.audit import Audit
from shippyard.migration.facts import Facts, ServerFacts
from shippyard.migration.gates.approvals import approvals
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.known import Known, what_is_known
from shippyard.migration.order import Order, Requester
from shippyard.migration.parts import plan_hash_of
from shippyard.migration.plan import Plan, Rendered, read_revisions
from shippyard.migration.planner import Look, Prepared
from shippyard.migration.rehearsal.report import LockHeld, Passage, Recorded, Report
from shippyard.migration.tree import read_tree
from shippyard.postgres.target import Target
from shippyard.state.database import State

DATABASE = "shop"
ANA, BEN = Requester(20002, "ana"), Requester(20003, "ben")
BEGUN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
REVISION = """revision = "{number}"
down_revision = {down!r}


def upgrade():
    pass


def downgrade():
    pass
"""
HELD = LockHeld("ShareRowExclusiveLock", "public.orders", 3.0, "002")
LOOK = Look(
    current="001",
    server=ServerFacts(in_recovery=False, invalid_indexes=()),
    server_version=150018,
    fingerprint="f" * 64,
    system_identifier="7300000000000000001",
)
RECORDED = Recorded(locks=(HELD,), rewrites=("public.orders",), wal_bytes=4096)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = BEGUN

    def now(self) -> datetime:
        """Where it was set to."""
        return self.at

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.at.timestamp()


@dataclass(frozen=True)
class World:
    """All that a plan's hash could be made of, and some that it must not be."""

    folder: Path
    policy: Migration
    report: Report | None
    database: str = DATABASE
    current: str | None = "001"
    target: str = "003"
    order: tuple[str, ...] = ("002", "003")
    sql: Mapping[str, str] = field(default_factory=dict)
    undo: Mapping[str, str] = field(default_factory=dict)
    look: Look = LOOK
    live: Any = None

    @property
    def plan(self) -> Plan:
        """The plan as its files on disk are now."""
        tree = read_tree(self.folder / "alembic.ini")
        known = read_revisions(tree)
        return Plan(
            self.database,
            self.current,
            self.target,
            (self.target,),
            tuple(known[each] for each in self.order),
            tree.hashes(),
            {name: Rendered(said) for name, said in self.sql.items()},
            {name: Rendered(said) for name, said in self.undo.items()},
        )

    @property
    def known(self) -> Known:
        """What a run knows before it asks the gates."""
        target = Target("/nowhere", 5432, self.database, "mover")
        tree = read_tree(self.folder / "alembic.ini")
        prepared = Prepared(self.plan, target, self.policy, tree, self.folder, self.look)
        return what_is_known(prepared, self, lambda found, _: found)

    def newest(self, _database: str, _content_hash: str) -> Report | None:
        """The rehearsal, in the place of who remembers them."""
        return self.report


class Approved:
    """A book, and what its gate says of a world."""

    def __init__(self, state: State, world: World) -> None:
        self.clock = Hand()
        self.book = Book(state, self.clock, Audit(state, self.clock))
        self.world = world

    def agree(self) -> None:
        """Ana asks for the world's plan, and ben agrees to it."""
        world, known = self.world, self.world.known
        subject = Subject(world.database, known.plan_hash, known.prepared.plan.content_hash)
        self.book.ask(subject, ANA, "", world.policy)
        self.book.approve(subject, BEN, "", world.policy)

    def verdict(self, world: World, by: Requester = ANA) -> Verdict:
        """What the gate says of a world now, to `by`."""
        known, order = world.known, Order(by)
        standing = self.book.standing(
            world.database, plan_hash_of(known, order), by.uid, world.policy.approvals
        )
        facts = Facts(
            database=world.database,
            environment="production",
            policy=world.policy,
            now=self.clock.now(),
            plan=known.prepared.plan,
            server=world.look.server,
            live=world.live,
            backup=None,
            backup_known=True,
            backup_promised=True,
            active_run=None,
            approvals=standing,
        )
        return approvals(facts)


def world_in(folder: Path) -> World:
    """Three revisions on disk, two of them to run, rehearsed."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (folder / "migrations" / "env.py").write_text("# nothing\n")
    for number, down in (("001", None), ("002", "001"), ("003", "002")):
        said = REVISION.format(number=number, down=down)
        (versions / f"{number}_step.py").write_text(said)
    policy = Migration(alembic_ini=folder / "alembic.ini", approvals=1, rehearsal=True)
    sql = {"002": "ALTER TABLE orders ADD COLUMN a int", "003": "ALTER TABLE orders ADD b text"}
    undo = {"002": "ALTER TABLE orders DROP COLUMN a", "003": "ALTER TABLE orders DROP b"}
    world = World(folder, policy, None, sql=sql, undo=undo)
    return replace(world, report=_report(world.plan))


def touch(folder: Path, at: float) -> None:
    """Set every file's times."""
    for path in folder.rglob("*"):
        os.utime(path, (at, at))


def _report(plan: Plan) -> Report:
    passages = tuple(Passage(way, RECORDED) for way in ("up", "down", "again"))
    return Report(
        id="r1",
        database=plan.database,
        content_hash=plan.content_hash,
        from_revision=plan.current,
        to_revision=plan.target,
        fingerprint="f" * 64,
        system_identifier="7300000000000000001",
        backup_id="b1",
        tools="15",
        started_at=BEGUN - timedelta(hours=2),
        finished_at=BEGUN - timedelta(hours=1),
        outcome="passed",
        error=None,
        passages=passages,
        schema_differences=(),
        losses=(),
        slower=(),
        revision_elapsed_s={"002": 0.1, "003": 0.2},
        size_bytes=10**6,
        differs=(),
        phases={"restore": 2.0},
    )
