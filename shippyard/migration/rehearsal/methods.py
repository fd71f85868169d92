"""Owns what rehearsals answer on the control socket: words in, JSON out. Decides nothing."""

from collections.abc import Callable

from shippyard.control.method import Call, Document, Method
from shippyard.migration.plan import HEAD
from shippyard.migration.rehearsal.brief import brief
from shippyard.migration.rehearsal.markdown import as_markdown
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.rehearsal.service import Rehearsals
from shippyard.migration.words import database_of, needed, said_in_codes, text_of

LISTED_MAX = 100
SHOWN_CHARS = 300

Answer = Callable[[Rehearsals, Call], Document]


def build(rehearsals: Rehearsals) -> list[Method]:
    """What is asked as `migrate.rehearse`, `migrate.rehearsals` and `migrate.rehearsal`."""

    def answering(answer: Answer) -> Callable[[Call], Document]:
        def run(call: Call) -> Document:
            with said_in_codes():
                return answer(rehearsals, call)

        return run

    return [
        Method("migrate.rehearse", "operator", answering(_rehearse)),
        Method("migrate.rehearsals", "viewer", answering(_all)),
        Method("migrate.rehearsal", "viewer", answering(_one)),
    ]


def _rehearse(rehearsals: Rehearsals, call: Call) -> Document:
    revision = text_of(call, "revision") or HEAD
    report = rehearsals.rehearse(database_of(call), revision, call.peer.user, call.stream.progress)
    return _whole(report)


def _all(rehearsals: Rehearsals, call: Call) -> Document:
    found = rehearsals.all(text_of(call, "database"))[:LISTED_MAX]
    return {"rehearsals": [_line(each) for each in found]}


def _one(rehearsals: Rehearsals, call: Call) -> Document:
    return _whole(rehearsals.find(needed(call, "id")))


def _whole(report: Report) -> Document:
    return {**brief(report), "markdown": as_markdown(report)}


def _line(report: Report) -> Document:
    return {
        "id": report.id,
        "database": report.database,
        "from_revision": report.from_revision,
        "to_revision": report.to_revision,
        "content_hash": report.content_hash,
        "outcome": report.outcome,
        "comes_back": report.comes_back,
        "backup_id": report.backup_id,
        "finished_at": report.finished_at.isoformat(),
        "elapsed_s": (report.finished_at - report.started_at).total_seconds(),
        "error": report.error[:SHOWN_CHARS] if report.error else None,
    }
