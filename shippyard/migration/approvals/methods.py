"""Owns what is said of plans on the control socket: ask, approve, reject, list. Decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shippyard.config.migration import Migration
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.approvals.book import ApprovalRefused, Book, Subject
from shippyard.migration.approvals.model import Approval
from shippyard.migration.order import Requester


@dataclass(frozen=True)
class Described:
    """A plan as it would run now; `summary` is what an approver is shown."""

    subject: Subject
    policy: Migration
    summary: Document


class Plans(Protocol):
    """Who makes plans."""

    def described(self, database: str, revision: str) -> Described:
        """The plan from where the database is to `revision`."""
        ...


@dataclass(frozen=True)
class Desk:
    """Where words on plans are taken."""

    book: Book
    plans: Plans
    policy: Migration
    changed: Callable[[], None]


def build(desk: Desk) -> list[Method]:
    """`migrate.request`, `.approve`, `.reject` and `.approvals`."""

    def answering(answer: Callable[[Desk, Call], Document]) -> Callable[[Call], Document]:
        def run(call: Call) -> Document:
            try:
                return answer(desk, call)
            except ApprovalRefused as error:
                raise MethodError("blocked", str(error)) from None
            finally:
                desk.changed()

        return run

    return [
        Method("migrate.request", "operator", answering(_request)),
        Method("migrate.approve", "approver", answering(_approve)),
        Method("migrate.reject", "approver", answering(_reject)),
        Method("migrate.approvals", "viewer", answering(_approvals)),
    ]


def _request(desk: Desk, call: Call) -> Document:
    found = desk.plans.described(_text(call, "database"), _text(call, "revision") or "head")
    made = desk.book.ask(found.subject, _who(call), _text(call, "reason"), found.policy)
    return {**_document(made), "plan": found.summary}


def _approve(desk: Desk, call: Call) -> Document:
    subject = desk.book.subject_of(_text(call, "plan_hash"))
    made = desk.book.approve(
        subject,
        _who(call),
        _text(call, "reason"),
        desk.policy,
        overrides=_names(call, "overrides"),
        emergency=call.params.get("emergency") is True,
    )
    return _document(made)


def _reject(desk: Desk, call: Call) -> Document:
    subject = desk.book.subject_of(_text(call, "plan_hash"))
    return _document(desk.book.reject(subject, _who(call), _text(call, "reason"), desk.policy))


def _approvals(desk: Desk, call: Call) -> Document:
    database = _text(call, "database") or None
    return {
        "open": [_document(each) for each in desk.book.open_requests(database)],
        "words": [_document(each) for each in desk.book.words(database)],
    }


def _who(call: Call) -> Requester:
    return Requester(call.peer.uid, call.peer.user)


def _document(said: Approval) -> dict[str, Any]:
    return {
        "id": said.id,
        "at": said.at.isoformat(),
        "database": said.database,
        "kind": said.kind,
        "plan_hash": said.plan_hash,
        "content_hash": said.content_hash,
        "user": said.user,
        "reason": said.reason,
        "overrides": list(said.overrides),
        "expires_at": said.expires_at.isoformat(),
        "spent_by": said.spent_by,
    }


def _text(call: Call, name: str) -> str:
    value = call.params.get(name) or ""
    if not isinstance(value, str):
        raise MethodError("usage", f"{name} must be text")
    return value


def _names(call: Call, name: str) -> tuple[str, ...]:
    value = call.params.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MethodError("usage", f"{name} must be a list of names")
    return tuple(value)
