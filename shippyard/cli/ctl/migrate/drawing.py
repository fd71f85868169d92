"""Owns how plans, verdicts and runs look to a person. Asks nobody."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import click

from shippyard.cli.output import duration, print_table, when

HASH_CHARS = 12
Document = Mapping[str, Any]


def draw_plan(plan: Document, *, sql: bool = False) -> None:
    """A plan as a person wants to read it: what, what is risky, what was tried, what is missing."""
    if not plan["revisions"]:
        click.echo(f"{plan['database']} is at {plan['current'] or 'base'}: nothing to run")
    else:
        click.echo(f"{plan['database']}: {plan['current'] or 'base'} → {plan['target']}")
        for revision in plan["revisions"]:
            _draw_revision(revision, sql=sql)
        _draw_hazards(plan["hazards"])
        _draw_rehearsal(plan["rehearsal"])
    draw_verdicts(plan["verdicts"])
    if plan["revisions"]:
        short = plan["plan_hash"][:HASH_CHARS]
        click.echo(f"plan {short}, content {plan['content_hash'][:HASH_CHARS]}")


def draw_verdicts(verdicts: Iterable[Document]) -> None:
    """What every gate said."""
    rows = [(v["gate"], v["verdict"], v["summary"]) for v in verdicts]
    print_table(("gate", "verdict", "evidence"), rows, "no gates")


def draw_run(run: Document) -> None:
    """How a run ended, in one line."""
    if run["id"] is None:
        click.echo(f"{run['database']}: nothing to run")
        return
    click.echo(
        f"{run['database']}: {run['from_revision'] or 'base'} → {run['to_revision'] or 'base'} "
        f"{run['state']} (run {run['id']}, backup {run['backup_id'] or 'none'})"
    )


def draw_history(answer: Document) -> None:
    """Past runs, newest first."""
    print_table(
        ("run", "database", "from", "to", "state", "by", "started", "error"),
        [
            (
                run["id"],
                run["database"],
                run["from_revision"] or "base",
                run["to_revision"] or "base",
                run["state"],
                run["requested_by"],
                when(run["started_at"]),
                run["error"],
            )
            for run in answer["runs"]
        ],
        "no runs yet",
    )


def draw_detail(run: Document) -> None:
    """One run, whole: verdicts, steps, what was looked at afterwards."""
    draw_run(run)
    for name in ("requested_by", "started_at", "finished_at", "plan_hash", "of_run", "error"):
        if run.get(name):
            click.echo(f"  {name.replace('_', ' ')}: {run[name]}")
    detail = run["detail"]
    draw_verdicts(detail.get("verdicts", []))
    steps = [
        (when(step["at"]), step["event"], step.get("revision", ""), said_of(step))
        for step in detail.get("steps", [])
    ]
    print_table(("at", "step", "revision", "what"), steps, "no step was taken")
    for name in ("integrity", "aftercare", "left"):
        if detail.get(name):
            click.echo(f"{name}: {_in_words(detail[name])}")


def said_of(step: Document) -> str:
    """What a step tells beside its name."""
    known = ("message", "elapsed_s", "attempt", "backup", "sqlstate", "pause_s")
    return ", ".join(f"{name} {step[name]}" for name in known if step.get(name) is not None)


def first_block(verdicts: Iterable[Document]) -> str:
    """The first verdict that is in the way."""
    verdicts = list(verdicts)
    for wanted in ("block", "unknown"):
        for verdict in verdicts:
            if verdict["verdict"] == wanted:
                return f"blocked by gate {verdict['gate']}: {verdict['summary']}"
    return "blocked"


def _draw_revision(revision: Document, *, sql: bool) -> None:
    back = "reversible" if revision["reversible"] else "no way back"
    click.echo(f"  {revision['revision']}  {revision['doc']}  ({back})")
    if sql:
        click.echo(revision["sql"].rstrip() or f"  (no SQL: {revision['unrendered']})")


def _draw_hazards(hazards: Iterable[Document]) -> None:
    for hazard in hazards:
        where = f"{hazard['file']}:{hazard['line']}"
        way = " on the way back" if hazard["way"] == "down" else ""
        level = "allowed" if hazard["suppressed"] else hazard["level"]
        click.echo(f"  {level:7}  {hazard['id']}  {where}{way}: {hazard['why']}")
        if hazard["suppressed"]:
            click.echo(f"           because {hazard['suppressed']}")
        elif hazard["instead"]:
            click.echo(textwrap.indent(hazard["instead"].rstrip(), " " * 11))


def _draw_rehearsal(rehearsal: Document | None) -> None:
    if rehearsal is None:
        return
    click.echo(
        f"  rehearsal {rehearsal['id']} {rehearsal['outcome']} {when(rehearsal['finished_at'])}"
        f" in {duration(rehearsal['elapsed_s'])}, on backup {rehearsal['backup_id']}"
    )
    for line in rehearsal["lines"]:
        click.echo(f"    {line}")


def _in_words(found: Any) -> str:
    if isinstance(found, Mapping):
        return ", ".join(f"{name} {_in_words(value)}" for name, value in found.items() if value)
    if isinstance(found, list):
        return "; ".join(map(_in_words, found))
    return str(found)
