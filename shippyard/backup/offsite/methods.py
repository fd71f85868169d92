"""Owns what is answered on the socket about copies off the machine."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from shippyard.backup.model import BackupFailed, BackupUnknown
from shippyard.backup.offsite.copies import CopyRecord
from shippyard.backup.offsite.objects import OffsiteFailed
from shippyard.backup.offsite.offsite import CopyFound, NoSuchCopy
from shippyard.backup.offsite.service import OffsiteCopies
from shippyard.control.method import Call, Document, Method, MethodError

LISTED_MAX = 2000
NOWHERE = 'no place off the machine is configured; name one with url = "s3://…" in [backup.offsite]'


def build(service: OffsiteCopies | None) -> list[Method]:
    """The methods of this room; without a place they say how to name one."""
    answers = _Answers(service)
    return [
        Method("backup.copies", "viewer", answers.copies),
        Method("backup.replicate", "operator", answers.replicate),
    ]


class _Answers:
    def __init__(self, service: OffsiteCopies | None) -> None:
        self._copies = service

    def copies(self, call: Call) -> Document:
        """Copies as they were recorded, or one with what the store itself shows of it."""
        service = self._service()
        backup_id = call.params.get("id")
        records = [r for r in service.records() if backup_id in {None, r.backup_id}]
        answer: dict[str, Any] = {
            "place": service.offsite.place,
            "copies": [document(record) for record in records[:LISTED_MAX]],
        }
        if backup_id is None:
            return answer
        try:
            return answer | {"store": _shown(service.offsite.find(str(backup_id)))}
        except NoSuchCopy as error:
            raise MethodError("usage", str(error)) from None
        except OffsiteFailed as error:
            raise MethodError("failed", str(error), answer) from None

    def replicate(self, call: Call) -> Document:
        """Copy one backup now, or read its copy again and mend it."""
        try:
            copy = self._service().replicate(str(call.params.get("id")), call.stream.progress)
        except BackupUnknown as error:
            raise MethodError("usage", str(error)) from None
        except BackupFailed as error:
            raise MethodError("failed", str(error)) from None
        return {name: _plain(value) for name, value in asdict(copy).items()}

    def _service(self) -> OffsiteCopies:
        if self._copies is None:
            raise MethodError("usage", NOWHERE)
        return self._copies


def document(record: CopyRecord) -> Document:
    """A copy in JSON's words: times in ISO, sizes in bytes."""
    return {name: _plain(value) for name, value in asdict(record).items()}


def _shown(found: CopyFound) -> Document:
    index = found.index
    return {
        "problem": found.problem,
        "parts": len(index.parts) if index else None,
        "size_bytes": index.size_bytes if index else None,
        "stored_bytes": index.stored_bytes if index else None,
        "copied_at": index.copied_at.isoformat() if index else None,
        "key_ids": list(index.key_ids) if index else [],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return list(value) if isinstance(value, tuple) else value
