"""`shippyard doctor`: look over a machine and its servers without the daemon."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shippyard.cli.config_option import asks_for_config
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import print_json

if TYPE_CHECKING:
    from shippyard.setup.doctor.finding import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=EXIT_CODES_HELP)
@asks_for_config
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def doctor(config_path: Path, *, as_json: bool) -> None:
    """Look at all that backups and restores need, and say what to do where it is not right.

    Works while the daemon is down, and changes nothing; off the machine it tries to delete a small
    object of its own. Ends with 1 when anything fails.

    Run it as the daemon's user, with what its unit loads: /etc/credstore is root's alone, so sudo
    is not enough. What could not be checked for want of a credential is said.

    \b
    Example (as root):
      systemd-run -qPG --wait --uid=shippyard --gid=shippyard \\
        $(systemctl cat shippyard | sed -n 's/^LoadCredential/-pLoadCredential/p') \\
        shippyard doctor
      shippyard doctor --config config/development.toml --json
    """
    from shippyard.config.loading import ConfigError, load_config
    from shippyard.host.clock import SystemClock
    from shippyard.host.process import Processes
    from shippyard.setup.doctor.examination import look_over, worst
    from shippyard.setup.doctor.finding import Patient

    try:
        config = load_config(config_path)
    except ConfigError as error:
        raise Problem(str(error), ExitCode.USAGE) from None
    found = []
    for finding in look_over(Patient(config, Processes(), SystemClock())):
        found.append(finding)
        if not as_json:
            _say(finding)
    if as_json:
        print_json({"worst": worst(found), "findings": [asdict(each) for each in found]})
    failed = sum(each.level == "fail" for each in found)
    if failed:
        raise Problem(f"{failed} of {len(found)} findings must be mended", ExitCode.FAILED)


def _say(finding: "Finding") -> None:
    """One line each: what can be searched for, and what to do."""
    level = click.style(f"{finding.level:4}", fg=COLOURS[finding.level])
    subject = f" {finding.subject}" if finding.subject else ""
    remedy = f" → {finding.remedy}" if finding.remedy and finding.level != "ok" else ""
    click.echo(f"{level} {finding.check}{subject}: {finding.said}{remedy}")
