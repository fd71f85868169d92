"""Owns a production with backups, a tree of revisions, and rehearsals of them.

The parts are the daemon's own, joined by hand. What is rehearsed is for whoever asks to say.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proofs.backup.drillyard import SHOP, Yard, yard
from proofs.gate.course import Change, policy, write_tree
from shippyard.backup.rehearsing import RestoredCopies
from shippyard.migration.known import Known, what_is_known
from shippyard.migration.planner import Planner, Prepared
from shippyard.migration.rehearsal.rehearser import Rehearser
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.rehearsal.store import RehearsalStore
from shippyard.migration.supervise import Supervisor
from shippyard.postgres.target import Target

MOVER = "mover"
ROLES = (
    f"CREATE ROLE {MOVER} LOGIN",
    f"GRANT CREATE ON SCHEMA public TO {MOVER}",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    f"ALTER TABLE alembic_version OWNER TO {MOVER}",
    "INSERT INTO alembic_version VALUES ('000')",
)
BASE = {"000": Change("op.execute('SELECT 1')")}


@dataclass
class Stage:
    """Production at revision 000, its backups, and what rehearses."""

    yard: Yard
    folder: Path

    def __post_init__(self) -> None:
        yard = self.yard
        self.supervisor = Supervisor(yard.processes)
        self.store = RehearsalStore(yard.state)
        self.planner = Planner(self.folder / "plans", self.supervisor)
        copies = RestoredCopies(yard.drills, {SHOP: yard.config.databases[0]})
        self.rehearser = Rehearser(copies, self.supervisor, yard.clock, self.store, lambda _: ())
        self._trees = 0

    @property
    def target(self) -> Target:
        """Production, as whoever migrates it."""
        return replace(self.yard.production.target(SHOP), user=MOVER)

    def prepared(self, changes: Mapping[str, Change], **more: Any) -> Prepared:
        """A plan of revisions after 000 for production as it is."""
        self._trees += 1
        ini = write_tree(self.folder / f"tree{self._trees}", {**BASE, **changes})
        revision = more.pop("revision", "head")
        return self.planner.prepare(SHOP, self.target, policy(ini, **more), revision)

    def known(self, prepared: Prepared) -> Known:
        """The plan with its hazards."""
        return what_is_known(prepared, self.store, lambda found, _: found)

    def rehearse(self, changes: Mapping[str, Change], **more: Any) -> Report:
        """One rehearsal of revisions after 000."""
        return self.rehearser.rehearse(self.known(self.prepared(changes, **more)), lambda _: None)

    def migrate(self, changes: Mapping[str, Change]) -> None:
        """Take production there, by the runner itself."""
        prepared = self.prepared(changes)
        ending = self.supervisor.run(prepared.run_spec("stage"), 60.0, lambda _: None)
        assert ending.outcome == "applied", ending


@contextmanager
def stage(folder: Path, *statements: str, **backup: Any) -> Iterator[Stage]:
    """A stage whose production holds what `statements` make, for the length of a block."""
    with yard(folder, **backup) as made:
        made.run(*ROLES, f"SET ROLE {MOVER}", *statements)
        yield Stage(made, folder)
