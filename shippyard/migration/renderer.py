"""Owns rendering a plan's SQL: `python -m shippyard.migration.renderer`, a child without secrets.

Alembic's offline mode keeps its context in module globals and runs env.py, so it gets a process
of its own. It is given no connection and no credentials.
"""

import io
import sys
from collections.abc import Mapping

from alembic import command

from shippyard.migration.child import alembic_config, claim_stdout, said
from shippyard.migration.spec import SPEC_MAX_BYTES, RenderSpec, Step


def main() -> int:
    """Read a spec from stdin, write one line of rendered SQL to stdout."""
    emit = claim_stdout()
    spec = RenderSpec.from_json(sys.stdin.buffer.read(SPEC_MAX_BYTES))
    emit({"rendered": {step.revision: _render(spec, step) for step in spec.steps}})
    return 0


def _render(spec: RenderSpec, step: Step) -> Mapping[str, str | None]:
    output = io.StringIO()
    config = alembic_config(spec.copy, spec.ini, spec.scripts, output)
    try:
        command.upgrade(config, f"{step.down or 'base'}:{step.revision}", sql=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code may raise anything
        # A migration that reads data can't say its SQL before it runs: that is a fact, not a fault.
        return {"sql": "", "unrendered": said(error)}
    return {"sql": output.getvalue(), "unrendered": None}


if __name__ == "__main__":
    sys.exit(main())
