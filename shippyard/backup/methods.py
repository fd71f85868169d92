"""Owns what the backup room answers on the socket, and how its words become JSON."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from shippyard.backup.model import Backup, BackupFailed, BackupUnknown, Kind
from shippyard.backup.service import BackupService
from shippyard.control.method import Call, Document, Method, MethodError

# About 700 KB of answer, well under what the socket carries; older attempts are in the log.
LISTED_MAX = 2000


def build(service: BackupService) -> list[Method]:
    """The methods of this room."""
    answers = _Answers(service)
    return [
        Method("backup.run", "operator", answers.run),
        Method("backup.list", "viewer", answers.list),
        Method("backup.show", "viewer", answers.show),
        Method("backup.verify", "operator", answers.verify),
        Method("backup.prune", "operator", answers.prune),
        Method("backup.hold", "operator", answers.hold),
        Method("backup.release", "operator", answers.release),
        Method("backup.rebuild", "operator", answers.rebuild),
    ]


class _Answers:
    def __init__(self, service: BackupService) -> None:
        self._service = service

    def run(self, call: Call) -> Document:
        """Take one backup, or one of every kind; a failed one does not keep the next from it."""
        subject = self._subject(call.params)
        kinds = _kinds(call.params, self._service.subjects()[subject])
        incremental = _flag(call.params, "incremental")
        taken: list[Document] = []
        errors: list[str] = []
        for kind in kinds:
            try:
                backup = self._service.run(
                    subject,
                    kind,
                    "manual",
                    progress=call.stream.progress,
                    incremental=incremental,
                )
            except BackupFailed as error:
                errors.append(f"{kind} backup of {subject}: {error}")
            else:
                taken.append(document(backup))
        if errors:
            raise MethodError("failed", "; ".join(errors), {"backups": taken})
        return {"backups": taken}

    def list(self, call: Call) -> Document:
        """Backups that count, or with `all` every attempt, newest first."""
        subject = self._subject(call.params) if call.params.get("database") else None
        every = _flag(call.params, "all")
        wanted = [b for b in self._service.history(subject) if b.counts or every]
        return {"backups": [document(backup) for backup in wanted[:LISTED_MAX]]}

    def show(self, call: Call) -> Document:
        """One backup, its manifest and where it is."""
        backup = self._find(call.params)
        return {
            **document(backup),
            "manifest": self._service.manifest(backup.id),
            "path": str(self._service.path(backup)),
        }

    def verify(self, call: Call) -> Document:
        """Read one again, every byte."""
        backup = self._find(call.params)
        with _failing():
            verified = self._service.verify(backup.id)
        return {**asdict(verified), "problems": list(verified.problems)}

    def prune(self, call: Call) -> Document:
        """What retention decides; only with `apply` is anything deleted.

        `confirm_catalogue` first lets retention go on after the state was lost, `confirm_clock`
        after the clock jumped.
        """
        apply = _flag(call.params, "apply")
        if _flag(call.params, "confirm_catalogue"):
            self._service.confirm_catalogue()
        if _flag(call.params, "confirm_clock"):
            self._service.confirm_clock()
        with _failing():
            pruned = self._service.prune(apply=apply)
        return {
            "decisions": [asdict(decision) for decision in pruned.decisions],
            "deleted": list(pruned.deleted),
            "frozen": self._service.frozen(),
        }

    def hold(self, call: Call) -> Document:
        """Keep one from retention, in the name of whoever asks."""
        why = call.params.get("why")
        if not isinstance(why, str) or not why.strip():
            raise MethodError("usage", "say why, so that somebody can release it one day")
        backup = self._find(call.params)
        with _failing():
            return document(self._service.hold(backup.id, f"{call.peer.user}: {why}"))

    def release(self, call: Call) -> Document:
        """Let one go that was held."""
        backup = self._find(call.params)
        with _failing():
            return document(self._service.let_go(backup.id))

    def rebuild(self, call: Call) -> Document:
        """What the manifests say; with `apply` the catalogue says the same after."""
        apply = _flag(call.params, "apply")
        with _failing():
            found = self._service.rebuild(apply=apply)
        return {"applied": apply, "found": [_in_json(asdict(each)) for each in found[:LISTED_MAX]]}

    def _subject(self, params: Document) -> str:
        name = params.get("database")
        known = self._service.subjects()
        if not isinstance(name, str) or name not in known:
            there = ", ".join(known)
            raise MethodError("usage", f"no database {name!r}; the configuration has {there}")
        return name

    def _find(self, params: Document) -> Backup:
        backup_id = params.get("id")
        try:
            return self._service.find(str(backup_id))
        except BackupUnknown as error:
            raise MethodError("usage", str(error)) from None


def document(backup: Backup) -> dict[str, Any]:
    """A backup in JSON's words: times in ISO, sizes in bytes."""
    return _in_json(asdict(backup))


def _in_json(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """What can't be done is an answer, in one line."""
    try:
        yield
    except BackupFailed as error:
        raise MethodError("failed", str(error)) from None


def _kinds(params: Document, there_are: tuple[Kind, ...]) -> tuple[Kind, ...]:
    asked = params.get("kind", "all")
    kinds = there_are if asked == "all" else tuple(kind for kind in there_are if kind == asked)
    if not kinds:
        remedy = f"use {', '.join(there_are)} or all"
        if asked == "base":
            remedy = "base backups are of a cluster: shippyard ctl backup run @CLUSTER"
        raise MethodError("usage", f"no kind {asked!r} here; {remedy}")
    return kinds


def _flag(params: Document, name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise MethodError("usage", f"{name} is true or false, not {value!r}")
    return value
