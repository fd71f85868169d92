"""Owns what migrations answer on the control socket: words in, JSON out. Decides nothing."""

from collections.abc import Callable
from typing import TypeVar

from shippyard.config.models import Role
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.execution import Listener
from shippyard.migration.filling import Backfills
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.order import Order, Requester
from shippyard.migration.plan import HEAD
from shippyard.migration.service import Migrations
from shippyard.migration.words import database_of, needed, said_in_codes, text_of

PROBLEMS_SHOWN = 100
Room = TypeVar("Room")
Answer = Callable[[Migrations, Call], Document]
Filling = Callable[[Backfills, Call], Document]


def build(migrations: Migrations, backfills: Backfills) -> list[Method]:
    """What is asked as `migrate.…`: plans, runs, and backfills."""
    answers: tuple[tuple[str, Role, Answer], ...] = (
        ("plan", "viewer", _plan),
        ("run", "operator", _run),
        ("cancel", "operator", _cancel),
        ("undo", "viewer", _undo),
        ("rollback", "operator", _rollback),
        ("rest", "viewer", _rest),
        ("resume", "operator", _resume),
        ("history", "viewer", _history),
        ("show", "viewer", _show),
        ("audit", "viewer", _audit),
    )
    fillings: tuple[tuple[str, Role, Filling], ...] = (
        ("backfill.start", "operator", _begin_filling),
        ("backfill.stop", "operator", _end_filling),
    )

    def status(call: Call) -> Document:
        return _status(migrations, backfills, text_of(call, "database"))

    return [
        *(Method(f"migrate.{n}", role, _answering(migrations, a)) for n, role, a in answers),
        *(Method(f"migrate.{n}", role, _answering(backfills, a)) for n, role, a in fillings),
        Method("migrate.status", "viewer", status),
    ]


def _answering(room: Room, answer: Callable[[Room, Call], Document]) -> Callable[[Call], Document]:
    def run(call: Call) -> Document:
        with said_in_codes():
            return answer(room, call)

    return run


def _plan(migrations: Migrations, call: Call) -> Document:
    revision = text_of(call, "revision") or HEAD
    return migrations.plan(database_of(call), revision, order=_order(call)).document()


def _run(migrations: Migrations, call: Call) -> Document:
    database = database_of(call)
    run = migrations.run(
        database,
        text_of(call, "revision") or HEAD,
        order=_order(call),
        plan_hash=text_of(call, "plan_hash"),
        listener=_listener(call),
    )
    if run is None:
        return {"id": None, "database": database, "state": "nothing_to_do", "error": None}
    return run.document()


def _undo(migrations: Migrations, call: Call) -> Document:
    return migrations.undo(text_of(call, "run")).document()


def _rollback(migrations: Migrations, call: Call) -> Document:
    run_id = needed(call, "run")
    run = migrations.take_back(run_id, order=_order(call), listener=_listener(call))
    return run.document()


def _rest(migrations: Migrations, call: Call) -> Document:
    return migrations.rest(text_of(call, "run")).document()


def _resume(migrations: Migrations, call: Call) -> Document:
    run_id = needed(call, "run")
    return migrations.resume(run_id, order=_order(call), listener=_listener(call)).document()


def _order(call: Call) -> Order:
    emergency = call.params.get("emergency") is True
    return Order(Requester(call.peer.uid, call.peer.user), emergency)


def _listener(call: Call) -> Listener:
    def on_verdict(verdict: Verdict) -> None:
        call.stream.item({"verdict": verdict.document()})

    return Listener(call.stream.progress, on_verdict)


def _history(migrations: Migrations, call: Call) -> Document:
    return {"runs": [run.document() for run in migrations.history(text_of(call, "database"))]}


def _show(migrations: Migrations, call: Call) -> Document:
    run = migrations.find(needed(call, "run"))
    return {**run.document(), "detail": dict(run.detail)}


def _audit(migrations: Migrations, call: Call) -> Document:
    since = call.params.get("since") or 0
    if not isinstance(since, int):
        raise MethodError("usage", "since must be an entry's number")
    for entry in migrations.audit.entries(since=since):
        call.stream.item({"entry": entry.document()})
    report = migrations.audit.verify()
    return {
        "entries": report.entries,
        "head": report.head,
        "anchored": report.anchored,
        "verdict": report.verdict,
        "unknown": report.unknown,
        "problems": list(report.problems[:PROBLEMS_SHOWN]),
    }


def _cancel(migrations: Migrations, call: Call) -> Document:
    run = migrations.cancel(database_of(call), call.peer.user)
    return {"run": run, "message": f"run {run} was told to stop; what is not committed goes back"}


def _status(migrations: Migrations, backfills: Backfills, database: str | None) -> Document:
    return {
        "running": migrations.under_way(database),
        "unfinished": [run.document() for run in migrations.interrupted(database)],
        "backfills": backfills.standing(database),
    }


def _begin_filling(backfills: Backfills, call: Call) -> Document:
    database, name = database_of(call), needed(call, "name")
    backfills.begin(database, name)
    return {"database": database, "name": name, "message": f"{name} is being filled"}


def _end_filling(backfills: Backfills, call: Call) -> Document:
    database, name = database_of(call), needed(call, "name")
    backfills.end(database, name)
    return {"database": database, "name": name, "message": f"{name} stops after its batch"}
