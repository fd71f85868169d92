"""`shippyard ctl migrate audit`: who did what, and whether the chain of it is the one written."""

from collections.abc import Mapping
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, Problem
from shippyard.cli.output import print_table, when


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--verify", is_flag=True, help="Only look whether it is whole; exits 1 if not.")
@click.option("--since", type=int, default=0, help="Entries after this number.")
@asks
def audit(asking: Asking, *, verify: bool, since: int) -> None:
    """List what was asked, approved, run and taken back, oldest first.

    Each entry's hash covers the one before it, and the head after each entry stands signed in
    files of its own and in the log: what is changed, taken out, put in, cut off or made anew is
    told. Without those files nobody can say, and it exits 1 too.

    \b
    Example:
      shippyard ctl migrate audit --verify
    """
    entries: list[dict[str, Any]] = []

    def keep(item: Mapping[str, Any]) -> None:
        entries.append(dict(item["entry"]))

    report = asking.ask("migrate.audit", {"since": since}, on_item=keep)
    shown = report if verify else {**report, "log": entries}
    asking.show(shown, _draw)
    if verify and report["problems"]:
        raise Problem(f"the audit is not what was written: {report['problems'][0]}")
    if verify and report["unknown"]:
        raise Problem(f"unknown: {report['unknown']}")


def _draw(answer: dict[str, Any]) -> None:
    if "log" in answer:
        rows = [
            (e["seq"], when(e["at"]), e["actor"], e["action"], e["subject"], e["hash"][:12])
            for e in answer["log"]
        ]
        print_table(("entry", "at", "by", "what", "of", "hash"), rows, "nothing was done yet")
    for problem in answer["problems"]:
        click.echo(f"problem: {problem}")
    if answer["unknown"]:
        click.echo(f"unknown: {answer['unknown']}")
    click.echo(
        f"{answer['entries']} entries, {answer['anchored']} of them anchored, "
        f"head {answer['head'][:12]}"
    )
