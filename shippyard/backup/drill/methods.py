"""Owns what drills answer on the socket, and how their words become JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from shippyard.backup.drill.model import Drill, DrillRefused
from shippyard.backup.drill.service import Drills
from shippyard.backup.model import KINDS, BackupUnknown, Kind, kinds_of
from shippyard.control.method import Call, Document, Method, MethodError

LISTED_MAX = 200


def build(drills: Drills) -> list[Method]:
    """The methods of this room."""
    answers = _Answers(drills)
    return [
        Method("drill.run", "operator", answers.run),
        Method("drill.list", "viewer", answers.list),
        Method("drill.show", "viewer", answers.show),
    ]


class _Answers:
    def __init__(self, drills: Drills) -> None:
        self._drills = drills

    def run(self, call: Call) -> Document:
        """Drill one backup, or the newest of each kind; one that fails keeps none from the next."""
        backup_id = _text(call.params, "backup")
        older = call.params.get("older") is True
        if backup_id and older:
            raise MethodError("usage", "give a backup or --older, not both")
        wanted = [("", "dump")] if backup_id else self._wanted(call.params)
        done: list[Drill] = []
        for subject, kind in wanted:
            try:
                drill = self._drills.run(
                    subject,
                    _kind(kind),
                    backup_id=backup_id,
                    older=older,
                    progress=call.stream.progress,
                )
            except BackupUnknown as error:
                raise MethodError("usage", str(error)) from None
            except DrillRefused as error:
                raise MethodError("failed", str(error), _documents(done)) from None
            done.append(drill)
        wrong = [f"{d.id} {d.outcome}: {d.error}" for d in done if d.outcome != "passed"]
        if wrong:
            raise MethodError("failed", "; ".join(wrong), _documents(done))
        return _documents(done)

    def list(self, call: Call) -> Document:
        """Drills of a subject, or all, newest first; without their reports."""
        found = self._drills.history(_text(call.params, "subject"), limit=LISTED_MAX)
        return {"drills": [{**document(drill), "report": {}} for drill in found]}

    def show(self, call: Call) -> Document:
        """One drill with its report."""
        try:
            return document(self._drills.find(_text(call.params, "id") or ""))
        except DrillRefused as error:
            raise MethodError("usage", str(error)) from None

    def _wanted(self, params: Document) -> Sequence[tuple[str, str]]:
        subject, kind = _text(params, "subject"), _text(params, "kind")
        known = self._drills.subjects()
        if subject and subject not in known:
            raise MethodError("usage", f"no subject {subject!r}; there is {', '.join(known)}")
        if subject and kind:
            if kind not in kinds_of(subject):
                raise MethodError("usage", f"{subject} has {' and '.join(kinds_of(subject))} only")
            return [(subject, kind)]
        pairs = [
            (each, of)
            for each in ([subject] if subject else known)
            for of in self._drills.kinds(each)
            if kind in (None, of)
        ]
        if not pairs:
            raise MethodError("failed", "no backup to drill; run `shippyard ctl backup run`")
        return pairs


def document(drill: Drill) -> dict[str, object]:
    """A drill in JSON's words."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(drill).items()
    }


def _documents(drills: Sequence[Drill]) -> dict[str, object]:
    return {"drills": [document(drill) for drill in drills]}


def _text(params: Document, name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise MethodError("usage", f"{name} is a text, not {value!r}")
    return value or None


def _kind(text: str) -> Kind:
    found = next((kind for kind in KINDS if kind == text), None)
    if found is None:
        raise MethodError("usage", f"no kind {text!r}; use {', '.join(KINDS)}")
    return found
