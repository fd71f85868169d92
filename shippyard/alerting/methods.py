"""Owns what alerting answers on the control socket."""

from typing import Any, Protocol

from shippyard.control.method import Call, Document, Method, MethodError


class Incidents(Protocol):
    """Where incidents can be looked up."""

    def incidents(self, *, with_ended: bool = False) -> list[dict[str, Any]]:
        """Open ones, and on request those that ended."""
        ...


def build(alerting: Incidents) -> list[Method]:
    """`alerts`: what is wrong now, and who was told."""

    def alerts(call: Call) -> Document:
        return {"incidents": alerting.incidents(with_ended=_wants_all(call.params))}

    return [Method("alerts", "viewer", alerts)]


def _wants_all(params: Document) -> bool:
    wanted = params.get("all", False)
    if not isinstance(wanted, bool):
        raise MethodError("usage", "'all' must be true or false")
    return wanted
