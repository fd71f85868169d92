"""Owns how a restore is asked for in words, and how what is said of it becomes JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shippyard.backup.manifest import Manifest
from shippyard.backup.model import kinds_of
from shippyard.backup.restore.assess import Assessment, Wanted, Way
from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.point import LATEST, Point, PointInvalid, parse_point
from shippyard.backup.restore.service import Report, Run
from shippyard.backup.restore.shelf import Shelved

Document = dict[str, Any]


class RequestInvalid(Exception):
    """What was asked for makes no sense; one line says how it is written."""


def wanted_of(words: Mapping[str, Any], *, way: Way, target: str) -> Wanted:
    """What is asked for, from `of`, `at`, `timeline`, `backup`, `table`, `schema`, `into_schema`.

    Raises:
        RequestInvalid: a word is wrong, or two don't go together.
    """
    said = {name: _text(words, name) for name in _WORDS}
    only = _selection(said)
    if only and way == "files":
        raise RequestInvalid("a data directory is restored whole; leave out --table and --schema")
    of = said["of"] or ""
    if way == "dump" and "base" in kinds_of(of):
        raise RequestInvalid(
            f"{of} is a cluster, which is restored as files into a new or empty folder: name one, "
            f"as in `… {of} --data-dir /srv/restored`"
        )
    return Wanted(
        way=way,
        target=target,
        subject=said["of"],
        point=_point(said["at"], said["timeline"]),
        backup_id=said["backup"],
        only=only,
        accept_loss=bool(words.get("accept_loss")),
    )


def assessment_document(assessment: Assessment) -> Document:
    """What a person is to read before saying yes."""
    wanted, chosen = assessment.wanted, assessment.chosen
    return {
        "target": wanted.target,
        "way": wanted.way,
        "point": str(wanted.point),
        "part": str(wanted.only) if wanted.only else None,
        "state": assessment.state,
        "backup": manifest_document(chosen) if chosen else None,
        "recoverable": list(assessment.recoverable),
        "loss": assessment.loss,
        "takes": assessment.takes,
        "forecast_s": assessment.forecast_s,
        "disk": assessment.disk,
        "needed_bytes": assessment.needed_bytes,
        "free_bytes": assessment.free_bytes,
        "steps": list(assessment.steps),
        "warnings": list(assessment.warnings),
        "refusals": list(assessment.refusals),
    }


def report_document(report: Report) -> Document:
    """What a restore came to."""
    done = report.done
    return {
        "backup": report.backup_id,
        "target": report.target,
        "ok": report.ok,
        "elapsed_s": report.elapsed_s,
        "phases": done.phases,
        "compared": done.compared,
        "reached": done.reached,
        "differences": list(done.differences),
        "surroundings": list(done.surroundings),
        "notes": list(done.notes),
        "reach": done.handback.reach,
        "commands": list(done.handback.commands),
        "not_restored": list(done.handback.not_restored),
    }


def run_document(run: Run) -> Document:
    """One restore that is under way, or ended."""
    return {
        **asdict(run),
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }


def shelf_document(shelved: Shelved) -> Document:
    """Every backup that was found."""
    return {
        "backups": [manifest_document(each) for each in reversed(shelved.manifests)],
        "unusable": [asdict(each) for each in shelved.unusable],
    }


def manifest_document(manifest: Manifest) -> Document:
    """What a person needs to know of a backup to choose it."""
    return {
        "id": manifest.id,
        "of": manifest.database,
        "kind": manifest.kind,
        "started_at": manifest.started_at.isoformat(),
        "size_bytes": manifest.size_bytes,
        "server_version": manifest.source.server_version,
        "dbname": manifest.source.dbname,
        "revision": manifest.source.alembic_revision,
        "parent": manifest.parent,
        "drilled": any(event.what == "drilled" for event in manifest.history),
    }


_WORDS = ("of", "at", "timeline", "backup", "table", "schema", "into_schema")


def _text(words: Mapping[str, Any], name: str) -> str | None:
    value = words.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestInvalid(f"{name} is text, not {value!r}")
    return value or None


def _selection(said: Mapping[str, str | None]) -> Selection | None:
    table, schema, into = said["table"], said["schema"], said["into_schema"]
    if table and schema:
        raise RequestInvalid("give --table SCHEMA.TABLE or --schema SCHEMA, not both")
    if table:
        first, dot, rest = table.partition(".")
        return Selection(first, rest, into) if dot else Selection("public", table, into)
    if schema:
        return Selection(schema, None, into)
    if into:
        raise RequestInvalid("--into-schema goes with --table or --schema")
    return None


def _point(at: str | None, timeline: str | None) -> Point:
    try:
        point = parse_point(at) if at else LATEST
    except PointInvalid as error:
        raise RequestInvalid(str(error)) from None
    if timeline is None:
        return point
    return Point(point.kind, point.value, inclusive=point.inclusive, timeline=timeline)
