"""`shippyard demo`: watch the whole loop work on a PostgreSQL of its own."""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

from shippyard.cli.exits import EXIT_CODES_HELP, Problem
from shippyard.cli.output import duration, print_table


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--once", is_flag=True, help="Do the tour and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON; implies --once.")
@click.option(
    "--migrations",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The Shippyar migrations.  [default: this checkout's]",
)
def demo(*, once: bool, as_json: bool, migrations: Path | None) -> None:
    """Show the whole loop: migrate through the gate, back up, verify, page, resolve.

    Starts a PostgreSQL and the daemon in a folder of their own and removes both at the end.
    Without --once it stays up until Ctrl-C, so that `ctl` can be tried from another terminal.

    \b
    Example:
      shippyard demo --once
      shippyard demo
    """
    from shippyard.postgres.embedded import EmbeddedFailed
    from shippyard.postgres.tools import ToolsMissing
    from shippyard.setup.demo import StepFailed, Tour, run_tour
    from shippyard.setup.stage import Stage

    teller = _Teller(quiet=as_json)
    # An ending asked for by a supervisor is as clean as Ctrl-C, which a script's background
    # job would else be deaf to.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with Stage() as stage:
        tour = Tour(stage, migrations or _checkout_migrations())
        try:
            run_tour(tour, teller.begin, teller.end, teller.tell)
            teller.summary()
            if not (once or as_json):
                _stay(stage.socket, tour.metrics_url)
        except (StepFailed, EmbeddedFailed, ToolsMissing) as error:
            teller.failed(str(error))
            raise Problem(str(error)) from None
        finally:
            tour.close()


class _Teller:
    """Shows steps as they happen and keeps them for the summary."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._steps: list[dict[str, Any]] = []

    def begin(self, step: Any) -> None:
        if not self._quiet:
            click.secho(f"▸ {step.name}", bold=True)

    def tell(self, line: str) -> None:
        if not self._quiet:
            click.echo(f"    {line}")

    def end(self, step: Any, evidence: str, elapsed_s: float) -> None:
        self._steps.append(
            {"step": step.name, "verdict": "ok", "elapsed_s": round(elapsed_s, 3)}
            | {"evidence": evidence}
        )
        if not self._quiet:
            click.secho(f"  ✓ {evidence} ({duration(elapsed_s)})", fg="green")

    def failed(self, error: str) -> None:
        self._print_json(ok=False, error=error)

    def summary(self) -> None:
        self._print_json(ok=True)
        if not self._quiet:
            click.echo()
            rows = [
                (s["step"], s["verdict"], duration(s["elapsed_s"]), s["evidence"])
                for s in self._steps
            ]
            print_table(("step", "verdict", "took", "evidence"), rows, "nothing was shown")
            click.echo(f"\nthe whole loop in {duration(self._elapsed_s())}")

    def _print_json(self, **fields: Any) -> None:
        if self._quiet:
            document = fields | {"elapsed_s": round(self._elapsed_s(), 3), "steps": self._steps}
            click.echo(json.dumps(document, indent=2))

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started


def _stay(socket: Path, metrics_url: str) -> None:
    shippyard = Path(sys.argv[0]).resolve()
    click.echo(f"\nmetrics:  {metrics_url}")
    click.echo(f"try:      {shippyard} ctl --socket {socket} status")
    click.echo("stays up until Ctrl-C")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("\nstopping")


def _checkout_migrations() -> Path:
    import shippyard

    folder = Path(shippyard.__file__).resolve().parent.parent / "migrations"
    if not (folder / "alembic.ini").is_file():
        raise Problem("no Shippyar migrations here; run from a checkout, or give --migrations DIR")
    return folder
