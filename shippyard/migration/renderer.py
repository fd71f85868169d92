"""Owns rendering a plan's SQL: `python -m shippyard.migration.renderer`, a child without secrets.

Alembic's offline mode keeps its context in module globals and runs env.py, so it gets a process
of its own. It is given no connection and no credentials.
"""

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from shippyard.migration.child import alembic_config, claim_stdout, said
from shippyard.migration.spec import SPEC_MAX_BYTES, RenderSpec, Step

Revisions = Callable[[str, MigrationContext], Any]
"""What Alembic calls to learn which revisions to take."""


def main() -> int:
    """Read a spec from stdin, write one line of rendered SQL to stdout."""
    emit = claim_stdout()
    spec = RenderSpec.from_json(sys.stdin.buffer.read(SPEC_MAX_BYTES))
    # Read once: each of Alembic's own commands would read every file of the tree again.
    tree = ScriptDirectory.from_config(alembic_config(spec.copy, spec.ini, spec.scripts))
    emit(
        {
            "rendered": {step.revision: _up(spec, tree, step) for step in spec.steps},
            "undo": {step.revision: _down(spec, tree, step) for step in spec.steps},
        }
    )
    return 0


def _up(spec: RenderSpec, tree: ScriptDirectory, step: Step) -> Mapping[str, str | None]:
    def revisions(at: str, _: MigrationContext) -> Any:
        return tree._upgrade_revs(step.revision, at)  # noqa: SLF001  what `alembic upgrade` calls

    return _render(spec, tree, revisions, step.down, step.revision)


def _down(spec: RenderSpec, tree: ScriptDirectory, step: Step) -> Mapping[str, str | None]:
    def revisions(at: str, _: MigrationContext) -> Any:
        return tree._downgrade_revs(step.down or "base", at)  # noqa: SLF001  `alembic downgrade`'s

    return _render(spec, tree, revisions, step.revision, step.down or "base")


def _render(
    spec: RenderSpec, tree: ScriptDirectory, revisions: Revisions, at: str | None, wanted: str
) -> Mapping[str, str | None]:
    output = io.StringIO()
    config = alembic_config(spec.copy, spec.ini, spec.scripts, output)
    try:
        with EnvironmentContext(
            config,
            tree,
            fn=revisions,
            as_sql=True,
            starting_rev=at,
            destination_rev=wanted,
        ):
            tree.run_env()
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code may raise anything
        # A migration that reads data can't say its SQL before it runs: that is a fact, not a fault.
        return {"sql": "", "unrendered": said(error)}
    return {"sql": output.getvalue(), "unrendered": None}


if __name__ == "__main__":
    sys.exit(main())
