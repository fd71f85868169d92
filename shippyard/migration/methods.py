"""Owns what migrations answer on the control socket: words in, JSON out. Decides nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.execution import Blocked, RunFailed
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.plan import HEAD, Plan, PlanRefused, Revision
from shippyard.migration.planner import PlanFailed
from shippyard.migration.service import Judged, Migrations, NotConfigured, PlanChanged


def build(migrations: Migrations) -> list[Method]:
    """`migrate.plan`, `migrate.run` and `migrate.history`."""
    return [
        Method("migrate.plan", "viewer", _answering(migrations, _plan)),
        Method("migrate.run", "operator", _answering(migrations, _run)),
        Method("migrate.history", "viewer", _answering(migrations, _history)),
    ]


def _answering(
    migrations: Migrations, answer: Callable[[Migrations, Call], Document]
) -> Callable[[Call], Document]:
    def run(call: Call) -> Document:
        with _said_in_codes():
            return answer(migrations, call)

    return run


@contextmanager
def _said_in_codes() -> Iterator[None]:
    try:
        yield
    except (PlanRefused, NotConfigured) as error:
        raise MethodError("usage", str(error)) from None
    except PlanChanged as error:
        raise MethodError("blocked", str(error), {"content_hash": error.content_hash}) from None
    except Blocked as error:
        verdicts = [verdict.document() for verdict in error.verdicts]
        raise MethodError("blocked", str(error), {"verdicts": verdicts}) from None
    except (PlanFailed, RunFailed) as error:
        raise MethodError("failed", str(error)) from None


def _plan(migrations: Migrations, call: Call) -> Document:
    return judged_document(migrations.plan(_database(call), _text(call, "revision") or HEAD))


def _run(migrations: Migrations, call: Call) -> Document:
    database = _database(call)

    def on_verdict(verdict: Verdict) -> None:
        call.stream.item({"verdict": verdict.document()})

    run = migrations.run(
        database,
        _text(call, "revision") or HEAD,
        requested_by=call.peer.user,
        content_hash=_text(call, "content_hash"),
        progress=call.stream.progress,
        on_verdict=on_verdict,
    )
    if run is None:
        return {"id": None, "database": database, "state": "nothing_to_do", "error": None}
    return run.document()


def _history(migrations: Migrations, call: Call) -> Document:
    return {"runs": [run.document() for run in migrations.history(_text(call, "database"))]}


def judged_document(judged: Judged) -> dict[str, Any]:
    """A plan and its verdicts in JSON."""
    plan = judged.plan
    return {
        "database": plan.database,
        "current": plan.current,
        "target": plan.target,
        "revisions": [_revision_document(plan, revision) for revision in plan.revisions],
        "content_hash": plan.content_hash,
        "verdicts": [verdict.document() for verdict in judged.verdicts],
        "blocked": judged.blocking is not None,
    }


def _revision_document(plan: Plan, revision: Revision) -> dict[str, Any]:
    rendered = plan.rendered[revision.revision]
    return {
        "revision": revision.revision,
        "file": revision.file,
        "doc": revision.doc,
        "reversible": revision.reversible,
        "sql": rendered.sql,
        "unrendered": rendered.unrendered,
    }


def _database(call: Call) -> str:
    name = _text(call, "database")
    if not name:
        raise MethodError("usage", "say which database")
    return name


def _text(call: Call, name: str) -> str | None:
    value = call.params.get(name)
    if value is not None and not isinstance(value, str):
        raise MethodError("usage", f"{name} must be text")
    return value
