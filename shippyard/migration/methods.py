"""Owns what migrations answer on the control socket: words in, JSON out. Decides nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from shippyard.config.models import Role
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.execution import Blocked, Listener, RunFailed
from shippyard.migration.filling import Backfills, FillingRefused
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.order import Order, Requester
from shippyard.migration.plan import HEAD, PlanRefused
from shippyard.migration.planner import PlanFailed
from shippyard.migration.service import Migrations, NotConfigured, PlanChanged

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
        return _status(migrations, backfills, _text(call, "database"))

    return [
        *(Method(f"migrate.{n}", role, _answering(migrations, a)) for n, role, a in answers),
        *(Method(f"migrate.{n}", role, _answering(backfills, a)) for n, role, a in fillings),
        Method("migrate.status", "viewer", status),
    ]


def _answering(room: Room, answer: Callable[[Room, Call], Document]) -> Callable[[Call], Document]:
    def run(call: Call) -> Document:
        with _said_in_codes():
            return answer(room, call)

    return run


@contextmanager
def _said_in_codes() -> Iterator[None]:
    try:
        yield
    except (PlanRefused, NotConfigured, FillingRefused) as error:
        raise MethodError("usage", str(error)) from None
    except PlanChanged as error:
        raise MethodError("blocked", str(error), {"plan_hash": error.plan_hash}) from None
    except Blocked as error:
        verdicts = [verdict.document() for verdict in error.verdicts]
        raise MethodError("blocked", str(error), {"verdicts": verdicts}) from None
    except (PlanFailed, RunFailed) as error:
        raise MethodError("failed", str(error)) from None


def _plan(migrations: Migrations, call: Call) -> Document:
    revision = _text(call, "revision") or HEAD
    return migrations.plan(_database(call), revision, order=_order(call)).document()


def _run(migrations: Migrations, call: Call) -> Document:
    database = _database(call)
    run = migrations.run(
        database,
        _text(call, "revision") or HEAD,
        order=_order(call),
        plan_hash=_text(call, "plan_hash"),
        listener=_listener(call),
    )
    if run is None:
        return {"id": None, "database": database, "state": "nothing_to_do", "error": None}
    return run.document()


def _rest(migrations: Migrations, call: Call) -> Document:
    return migrations.rest(_text(call, "run")).document()


def _resume(migrations: Migrations, call: Call) -> Document:
    run_id = _needed(call, "run")
    return migrations.resume(run_id, order=_order(call), listener=_listener(call)).document()


def _order(call: Call) -> Order:
    emergency = call.params.get("emergency") is True
    return Order(Requester(call.peer.uid, call.peer.user), emergency)


def _listener(call: Call) -> Listener:
    def on_verdict(verdict: Verdict) -> None:
        call.stream.item({"verdict": verdict.document()})

    return Listener(call.stream.progress, on_verdict)


def _history(migrations: Migrations, call: Call) -> Document:
    return {"runs": [run.document() for run in migrations.history(_text(call, "database"))]}


def _show(migrations: Migrations, call: Call) -> Document:
    run = migrations.find(_needed(call, "run"))
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
        "problems": list(report.problems[:PROBLEMS_SHOWN]),
    }


def _cancel(migrations: Migrations, call: Call) -> Document:
    run = migrations.cancel(_database(call), call.peer.user)
    return {"run": run, "message": f"run {run} was told to stop; what is not committed goes back"}


def _status(migrations: Migrations, backfills: Backfills, database: str | None) -> Document:
    return {
        "running": migrations.under_way(database),
        "unfinished": [run.document() for run in migrations.interrupted(database)],
        "backfills": backfills.standing(database),
    }


def _begin_filling(backfills: Backfills, call: Call) -> Document:
    database, name = _database(call), _needed(call, "name")
    backfills.begin(database, name)
    return {"database": database, "name": name, "message": f"{name} is being filled"}


def _end_filling(backfills: Backfills, call: Call) -> Document:
    database, name = _database(call), _needed(call, "name")
    backfills.end(database, name)
    return {"database": database, "name": name, "message": f"{name} stops after its batch"}


def _database(call: Call) -> str:
    return _needed(call, "database")


def _needed(call: Call, name: str) -> str:
    value = _text(call, name)
    if not value:
        raise MethodError("usage", f"say which {name}")
    return value


def _text(call: Call, name: str) -> str | None:
    value = call.params.get(name)
    if value is not None and not isinstance(value, str):
        raise MethodError("usage", f"{name} must be text")
    return value
