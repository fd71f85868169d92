"""Owns rendering a plan's SQL: `python -m shippyard.migration.renderer`, a child without secrets.

Alembic's offline mode keeps its context in module globals and runs env.py, so it gets a process
of its own. It is given no connection and no credentials.
"""

import io
import sys
from collections.abc import Callable, Mapping

from alembic import command
from alembic.config import Config

from shippyard.migration.child import alembic_config, claim_stdout, said
from shippyard.migration.spec import SPEC_MAX_BYTES, RenderSpec, Step


def main() -> int:
    """Read a spec from stdin, write one line of rendered SQL to stdout."""
    emit = claim_stdout()
    spec = RenderSpec.from_json(sys.stdin.buffer.read(SPEC_MAX_BYTES))
    emit(
        {
            "rendered": {step.revision: _render(spec, _up, step) for step in spec.steps},
            "undo": {step.revision: _render(spec, _down, step) for step in spec.steps},
        }
    )
    return 0


def _up(config: Config, step: Step) -> None:
    command.upgrade(config, f"{step.down or 'base'}:{step.revision}", sql=True)


def _down(config: Config, step: Step) -> None:
    command.downgrade(config, f"{step.revision}:{step.down or 'base'}", sql=True)


def _render(
    spec: RenderSpec, way: Callable[[Config, Step], None], step: Step
) -> Mapping[str, str | None]:
    output = io.StringIO()
    config = alembic_config(spec.copy, spec.ini, spec.scripts, output)
    try:
        way(config, step)
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code may raise anything
        # A migration that reads data can't say its SQL before it runs: that is a fact, not a fault.
        return {"sql": "", "unrendered": said(error)}
    return {"sql": output.getvalue(), "unrendered": None}


if __name__ == "__main__":
    sys.exit(main())
