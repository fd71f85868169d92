"""Owns what the backup room answers on the socket, and how its words become JSON."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from shippyard.backup.model import LOGICAL, Backup, BackupFailed, Kind
from shippyard.backup.service import BackupService
from shippyard.config.models import Config
from shippyard.control.method import Call, Document, Method, MethodError

# About 700 KB of answer, well under what the socket carries; older attempts are in the log.
LISTED_MAX = 2000


def build(service: BackupService, config: Config) -> list[Method]:
    """The methods of this room."""
    answers = _Answers(service, config)
    return [
        Method("backup.run", "operator", answers.run),
        Method("backup.list", "viewer", answers.list),
        Method("backup.show", "viewer", answers.show),
        Method("backup.verify", "operator", answers.verify),
        Method("backup.prune", "operator", answers.prune),
    ]


class _Answers:
    def __init__(self, service: BackupService, config: Config) -> None:
        self._service = service
        self._config = config

    def run(self, call: Call) -> Document:
        """Take one backup, or one of every kind; a failed one does not keep the next from it."""
        database, kinds = self._database(call.params), _kinds(call.params)
        taken: list[Document] = []
        errors: list[str] = []
        for kind in kinds:
            try:
                backup = self._service.run(database, kind, "manual", progress=call.stream.progress)
            except BackupFailed as error:
                errors.append(f"{kind} backup of {database}: {error}")
            else:
                taken.append(document(backup))
        if errors:
            raise MethodError("failed", "; ".join(errors), {"backups": taken})
        return {"backups": taken}

    def list(self, call: Call) -> Document:
        """Backups that count, or with `all` every attempt, newest first."""
        database = self._database(call.params) if call.params.get("database") else None
        every = _flag(call.params, "all")
        wanted = [b for b in self._service.history(database) if b.counts or every]
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
        try:
            verified = self._service.verify(backup.id)
        except BackupFailed as error:
            raise MethodError("failed", str(error)) from None
        return {**asdict(verified), "problems": list(verified.problems)}

    def prune(self, call: Call) -> Document:
        """What retention decides; only with `apply` is anything deleted."""
        try:
            pruned = self._service.prune(apply=_flag(call.params, "apply"))
        except BackupFailed as error:
            raise MethodError("failed", str(error)) from None
        return {
            "decisions": [asdict(decision) for decision in pruned.decisions],
            "deleted": list(pruned.deleted),
        }

    def _database(self, params: Document) -> str:
        name = params.get("database")
        if not isinstance(name, str) or self._config.database(name) is None:
            known = ", ".join(database.name for database in self._config.databases)
            raise MethodError("usage", f"no database {name!r}; the configuration has {known}")
        return name

    def _find(self, params: Document) -> Backup:
        backup_id = params.get("id")
        try:
            return self._service.find(str(backup_id))
        except BackupFailed as error:
            raise MethodError("usage", str(error)) from None


def document(backup: Backup) -> dict[str, Any]:
    """A backup in JSON's words: times in ISO, sizes in bytes."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(backup).items()
    }


def _kinds(params: Document) -> tuple[Kind, ...]:
    asked = params.get("kind", "all")
    kinds = LOGICAL if asked == "all" else tuple(kind for kind in LOGICAL if kind == asked)
    if not kinds:
        raise MethodError("usage", f"no kind {asked!r}; use {', '.join(LOGICAL)} or all")
    return kinds


def _flag(params: Document, name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise MethodError("usage", f"{name} is true or false, not {value!r}")
    return value
