"""`shippyard ctl alerts ack|silence|unsilence|test`: what people do about pages."""

import re
from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks
from shippyard.cli.exits import EXIT_CODES_HELP, ExitCode, Problem
from shippyard.cli.output import when

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Length(click.ParamType[float]):
    """A length of time such as 90m, 2h or 1d; seconds come out."""

    name = "length"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no length; write it as 30m, 2h or 1d", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("incident")
@click.option("--why", default="", help="A word for those who look next.")
@asks
def ack(asking: Asking, incident: str, *, why: str) -> None:
    """Take an incident on: it is not repeated, until it gets worse. INCIDENT may be its beginning.

    \b
    Example:
      shippyard ctl alerts ack 0c3f --why "looking at it"
    """
    answer = asking.ask("alerts.ack", {"id": incident, "why": why})
    asking.show(answer, lambda said: click.echo(f"{said['incident']['id']} is yours"))


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--for", "for_s", type=Length(), required=True, help="How long, such as 2h.")
@click.option(
    "--match",
    "matches",
    multiple=True,
    required=True,
    metavar="FIELD=PATTERN",
    help="rule, cluster, database, subject, severity or id; all given must fit.",
)
@click.option("--why", required=True, help="For those who wonder at the quiet.")
@asks
def silence(asking: Asking, *, for_s: float, matches: tuple[str, ...], why: str) -> None:
    """Tell nobody of what fits, for a while. It is recorded and listed as ever.

    What fires still when the silence ends is told then.

    \b
    Example:
      shippyard ctl alerts silence --for 2h --match rule=replica_lagging --why "disk is moved"
      shippyard ctl alerts silence --for 1d --match 'rule=table_*' --why "known"
    """
    params = {"match": _match(matches), "for_s": for_s, "why": why}
    asking.show(asking.ask("alerts.silence", params), _draw_silence)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("silence")
@asks
def unsilence(asking: Asking, silence: str) -> None:
    """End a silence before its time. What it kept back and fires still is told at once.

    \b
    Example:
      shippyard ctl alerts unsilence 5f09a1c2
    """
    answer = asking.ask("alerts.unsilence", {"id": silence})
    asking.show(answer, lambda said: click.echo(f"{said['silence']['id']} is over"))


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("route")
@asks
def test(asking: Asking, route: str) -> None:
    """Send a page that is marked as a test, and its resolve, and say what the receiver answered.

    \b
    Example:
      shippyard ctl alerts test pager
    """
    answer = asking.ask("alerts.test", {"route": route})
    asking.show(answer, _draw_answers)
    if not all(each["taken"] for each in answer["answers"]):
        raise Problem(f"route {route} did not take it; mend it, then try again", ExitCode.FAILED)


def _match(matches: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in matches]
    for field, sign, pattern in pairs:
        if not (field and sign and pattern):
            raise Problem(
                f"--match {field}{sign}{pattern}: write FIELD=PATTERN, such as rule=blocked",
                ExitCode.USAGE,
            )
    return {field: pattern for field, _, pattern in pairs}


def _draw_silence(answer: dict[str, Any]) -> None:
    made, covers = answer["silence"], answer["covers"]
    click.echo(f"{made['id']}: silenced until {when(made['ends_at'])}")
    click.echo(f"  open incidents that it covers now: {len(covers)}")
    click.echo(f"  to end it: shippyard ctl alerts unsilence {made['id']}")


def _draw_answers(answer: dict[str, Any]) -> None:
    for each in answer["answers"]:
        click.echo(f"{answer['route']} {each['event']}: {each['answer']}")
