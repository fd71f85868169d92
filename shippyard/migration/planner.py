"""Owns making a plan for a real database: read the tree, look at the server, copy, render.

Its effects are reads and one folder named by content. Knows no gates.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import structlog

from shippyard.config.base import Environment
from shippyard.config.migration import Migration
from shippyard.migration.expecting import expected
from shippyard.migration.facts import ServerFacts
from shippyard.migration.journal import Run
from shippyard.migration.plan import (
    Plan,
    PlanRefused,
    Revision,
    heads_of,
    history_of,
    read_revisions,
    resolve_target,
    select_revisions,
)
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.spec import Guard, RenderSpec, RunSpec, Step, Way
from shippyard.migration.supervise import RenderFailed, Supervisor
from shippyard.migration.tree import Tree, TreeUnusable, copy_name, publish_copy, read_tree
from shippyard.migration.version_table import (
    read_current,
    read_in_recovery,
    read_invalid_indexes,
)
from shippyard.postgres.schema_objects import fingerprint, read_objects
from shippyard.postgres.session import QueryFailed, Session, Unreachable, session
from shippyard.postgres.target import Target

RENDERED_KEPT = 16
SCHEMA_TIMEOUT_S = 30.0
IDENTITY_SQL = "SELECT system_identifier FROM pg_catalog.pg_control_system()"


log = structlog.get_logger(__name__)


class PlanFailed(Exception):
    """No plan could be made, for a reason outside the request; one line."""


@dataclass(frozen=True)
class Look:
    """What the server says now; `fingerprint` names its schema, None when it is not known."""

    current: str | None
    server: ServerFacts
    server_version: int
    fingerprint: str | None = None
    system_identifier: str = ""


@dataclass(frozen=True)
class Prepared:
    """A plan, and the copy of the files that it was made from."""

    plan: Plan
    target: Target
    policy: Migration
    tree: Tree
    copy: Path
    seen: Look

    @property
    def rest(self) -> tuple[Step, ...]:
        """What is left to run from where the database is.

        Raises:
            PlanRefused: it is somewhere else than on the plan's way.
        """
        steps, at = steps_of(self.plan.revisions), self.seen.current
        passed = [self.plan.current, *(step.revision for step in steps)]
        if at not in passed:
            raise PlanRefused(
                f"the database is at {at or 'no revision'}, which is not on the way "
                f"{self.plan.current or 'base'} → {self.plan.target}; plan anew"
            )
        return steps[passed.index(at) :]

    def run_spec(
        self,
        run_id: str,
        *,
        way: Way = "up",
        steps: tuple[Step, ...] | None = None,
        guards: tuple[Guard, ...] = (),
        target: Target | None = None,
        rehearsed: Report | None = None,
    ) -> RunSpec:
        """What the runner is told; without `steps`, to take what is left of the plan.

        `target` is another server than the plan's: a sandbox. What was `rehearsed`, and let pass
        by the gates, says how long each revision may take and make others wait.
        """
        return RunSpec(
            run_id=run_id,
            copy=str(self.copy),
            ini=self.tree.ini,
            scripts=self.tree.scripts,
            hashes=self.plan.files,
            steps=self.rest if steps is None else steps,
            server_version=self.seen.server_version,
            lock_timeout_ms=self.policy.lock_timeout_ms,
            statement_timeout_s=self.policy.statement_timeout_s,
            lock_attempts=self.policy.lock_attempts,
            retry_pause_s=self.policy.retry_pause_s,
            conninfo=(target or self.target).conninfo(),
            way=way,
            guards=guards,
            lock_timeout_min_ms=self.policy.lock_timeout_min_ms,
            watchdog_ms=self.policy.watchdog_ms,
            expected=expected(rehearsed, way, may_block=True),
        )


class Planner:
    """Makes plans; copies of trees go under `plans_dir`."""

    def __init__(
        self, plans_dir: Path, supervisor: Supervisor, *, environment: Environment = "testing"
    ) -> None:
        """In staging and production nothing is planned from a tree that others can write."""
        self._plans_dir = plans_dir
        self._is_strict = environment in ("staging", "production")
        self._in_use: dict[str, str] = {}
        # The spec names a folder by its content, so the same spec always gives the same SQL.
        self._render = lru_cache(RENDERED_KEPT)(supervisor.render)

    def prepare(
        self,
        database: str,
        target: Target,
        policy: Migration,
        revision: str,
        *,
        for_run: bool = False,
    ) -> Prepared:
        """A plan from where the database stands to `revision`.

        `for_run` keeps its copy until `let_go`: a database has one run at a time.

        Raises:
            PlanRefused: what was asked can't be planned.
            PlanFailed: the server, the tree or the child gave no answer.
        """
        with _said_in_one_line(self._plans_dir):
            return self._prepare(database, target, policy, revision, for_run=for_run)

    def prepare_again(
        self, database: str, target: Target, policy: Migration, run: Run, *, for_run: bool = False
    ) -> Prepared:
        """The plan of a run that was, to take it back or to go on with it: the very same content.

        Raises:
            PlanRefused: the tree is another one than ran.
            PlanFailed: the server, the tree or the child gave no answer.
        """
        with _said_in_one_line(self._plans_dir):
            prepared = self._prepare(
                database, target, policy, run.to_revision, for_run=for_run, since=run
            )
        if prepared.plan.content_hash != run.content_hash:
            raise PlanRefused(
                f"the tree is not the one that run {run.id} had "
                f"({prepared.plan.content_hash[:12]}, not {run.content_hash[:12]}); "
                "check that one out, and try again"
            )
        return prepared

    def let_go(self, database: str) -> None:
        """The database's run has ended: its copy may go. Safe when there was none."""
        self._in_use.pop(database, None)

    @contextmanager
    def kept(self, prepared: Prepared, by: str) -> Iterator[None]:
        """The plan's copy stays for the length of a block, whoever plans meanwhile."""
        self._in_use[by] = prepared.copy.name
        try:
            yield
        finally:
            self.let_go(by)

    def _prepare(
        self,
        database: str,
        target: Target,
        policy: Migration,
        revision: str,
        *,
        for_run: bool,
        since: Run | None = None,
    ) -> Prepared:
        """`since` is a run whose beginning counts as where the database is."""
        whole = read_tree(policy.alembic_ini)
        if whole.exposed and self._is_strict:
            raise TreeUnusable(whole.exposed)
        revisions = read_revisions(whole)
        wanted = resolve_target(revisions, revision)
        seen = look(target, with_schema=True)
        begun = since.from_revision if since else seen.current
        selected = select_revisions(revisions, begun, wanted)
        # Alembic executes every file it finds: later revisions stay out of what runs.
        tree = whole.without_versions_but(r.file for r in history_of(revisions, wanted))
        copy = self._copy(tree, database, for_run=for_run)
        plan = Plan(database, begun, wanted, heads_of(revisions), selected, tree.hashes(), {})
        return Prepared(self._rendered(plan, tree, copy), target, policy, tree, copy, seen)

    def _copy(self, tree: Tree, database: str, *, for_run: bool) -> Path:
        """The tree's copy; a run marks it before it is made, so that nobody removes it between."""
        if for_run:
            self._in_use[database] = copy_name(tree)

        def in_use() -> list[str]:
            # A copy, because runs come and go. A run may mend what only it is about to use.
            return [
                name for user, name in list(self._in_use.items()) if not for_run or user != database
            ]

        return publish_copy(tree, self._plans_dir, in_use)

    def _rendered(self, plan: Plan, tree: Tree, copy: Path) -> Plan:
        if not plan.revisions:
            return plan
        spec = RenderSpec(str(copy), tree.ini, tree.scripts, steps_of(plan.revisions))
        said = self._render(spec)
        return replace(plan, rendered=said.up, undo=said.down)


@contextmanager
def _said_in_one_line(plans_dir: Path) -> Iterator[None]:
    try:
        yield
    except (TreeUnusable, Unreachable, QueryFailed, RenderFailed) as error:
        raise PlanFailed(str(error)) from None
    except OSError as error:
        place = error.filename or plans_dir
        raise PlanFailed(f"{place}: {error.strerror or error}") from None


def look(target: Target, *, with_schema: bool = False) -> Look:
    """Ask the server where it stands, and what its schema is.

    Raises:
        Unreachable, QueryFailed: it did not say.
        PlanRefused: it says two things at once.
    """
    with session(target, "migrate-plan") as opened:
        server = ServerFacts(read_in_recovery(opened.query), read_invalid_indexes(opened.query))
        return Look(
            read_current(opened.query),
            server,
            opened.server_version,
            _fingerprint(opened) if with_schema else None,
            str(opened.query(IDENTITY_SQL)[0]["system_identifier"]),
        )


def look_or_none(target: Target, *, with_schema: bool = False) -> Look | None:
    """The same, when not knowing is an answer too."""
    try:
        return look(target, with_schema=with_schema)
    except (Unreachable, QueryFailed, PlanRefused):
        return None


def _fingerprint(opened: Session) -> str | None:
    """None when it can't be read now: what defines an object waits behind whoever changes it."""
    try:
        return fingerprint(
            read_objects(lambda asked: opened.query(asked, timeout_s=SCHEMA_TIMEOUT_S))
        )
    except QueryFailed as error:
        log.info("migration.schema_unknown", error=str(error))
        return None


def steps_of(revisions: Iterable[Revision]) -> tuple[Step, ...]:
    """What a runner is told of revisions, in their order."""
    return tuple(Step(r.revision, r.down[0] if r.down else None) for r in revisions)
