"""`shippyard ctl migrate request`, `approve`, `reject`, `approvals`: two people and one plan."""

from typing import Any

import click

from shippyard.cli.ctl.asking import Asking, asks, the_database
from shippyard.cli.ctl.migrate.drawing import HASH_CHARS, draw_plan
from shippyard.cli.ctl.migrate.options import database_option
from shippyard.cli.exits import EXIT_CODES_HELP
from shippyard.cli.output import print_table, when

reason_option = click.option("--reason", default="", help="Why; it stays in the audit.")


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("revision", default="head")
@database_option
@reason_option
@asks
def request(asking: Asking, revision: str, database: str | None, reason: str) -> None:
    """Ask for the plan to a revision to be approved, as it is now.

    \b
    Example:
      shippyard ctl migrate request head --reason "tiers for billing"
    """
    params = {"database": the_database(asking, database), "revision": revision, "reason": reason}
    asking.show(asking.ask("migrate.request", params), _draw_request)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("plan")
@reason_option
@click.option("--override", "overrides", multiple=True, help="A gate that it may pass; repeatable.")
@click.option("--emergency", is_flag=True, help="Past gates two people may pass; needs --reason.")
@asks
def approve(
    asking: Asking, plan: str, reason: str, overrides: tuple[str, ...], *, emergency: bool
) -> None:
    """Agree to a PLAN that somebody else asked for, by 12 characters of its hash or more.

    It holds for that plan alone: another revision, file, policy, server or rehearsal makes another
    plan. `approvals` shows what waits.

    \b
    Example:
      shippyard ctl migrate approve 4be1c09a77d2
    """
    params = {
        "plan_hash": plan,
        "reason": reason,
        "overrides": list(overrides),
        "emergency": emergency,
    }
    asking.show(asking.ask("migrate.approve", params), _draw_word)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("plan")
@reason_option
@asks
def reject(asking: Asking, plan: str, reason: str) -> None:
    """Say no to a PLAN: what others agreed to is void until somebody asks again.

    \b
    Example:
      shippyard ctl migrate reject 4be1c09a77d2 --reason "not before the sale"
    """
    params = {"plan_hash": plan, "reason": reason}
    asking.show(asking.ask("migrate.reject", params), _draw_word)


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("database", required=False)
@asks
def approvals(asking: Asking, database: str | None) -> None:
    """List what was asked for and what was said, oldest first.

    \b
    Example:
      shippyard ctl migrate approvals
    """
    params = {"database": database} if database else {}
    asking.show(asking.ask("migrate.approvals", params), _draw_words)


def _draw_request(answer: dict[str, Any]) -> None:
    draw_plan(answer["plan"])
    short = answer["plan_hash"][:HASH_CHARS]
    click.echo(f"asked for until {when(answer['expires_at'])}; somebody else types:")
    click.echo(f"  shippyard ctl migrate approve {short}")


def _draw_word(word: dict[str, Any]) -> None:
    short = word["plan_hash"][:HASH_CHARS]
    past = f", past {', '.join(word['overrides'])}" if word["overrides"] else ""
    until = when(word["expires_at"])
    click.echo(f"{word['kind']} of plan {short} of {word['database']}{past}; until {until}")


def _draw_words(answer: dict[str, Any]) -> None:
    rows = [
        (
            when(word["at"]),
            word["database"],
            word["plan_hash"][:HASH_CHARS],
            word["kind"],
            word["user"],
            word["reason"],
            _state_of(word, answer["open"]),
        )
        for word in answer["words"]
    ]
    print_table(("at", "database", "plan", "what", "by", "why", "state"), rows, "nothing was asked")


def _state_of(word: dict[str, Any], waiting: list[dict[str, Any]]) -> str:
    if word["spent_by"]:
        return f"used by {word['spent_by']}"
    return "open" if word["id"] in {each["id"] for each in waiting} else ""
