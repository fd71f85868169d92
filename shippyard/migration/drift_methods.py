"""Owns what is said of drift on the control socket. Decides nothing."""

from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.migration.drift import Drifts, DriftUnknown


def build(drifts: Drifts) -> list[Method]:
    """`migrate.drift` and `migrate.accept`."""

    def look(call: Call) -> Document:
        try:
            return drifts.look(_text(call, "database")).document()
        except DriftUnknown as error:
            raise MethodError("failed", str(error)) from None

    def accept(call: Call) -> Document:
        database = _text(call, "database")
        try:
            drifts.accept(database, _text(call, "fingerprint"), call.peer.user)
        except DriftUnknown as error:
            raise MethodError("blocked", str(error)) from None
        return {"database": database, "message": f"{database} is expected to be as it is now"}

    return [
        Method("migrate.drift", "viewer", look),
        Method("migrate.accept", "approver", accept),
    ]


def _text(call: Call, name: str) -> str:
    value = call.params.get(name)
    if not isinstance(value, str) or not value:
        raise MethodError("usage", f"say which {name}")
    return value
