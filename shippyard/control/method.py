"""Owns what a method on the control socket is: a name, the role it needs, and a function.

Domains make these (each in its `methods.py`); the server only calls them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shippyard.config.models import Role

ErrorCode = Literal["failed", "usage", "blocked", "not_permitted"]

Document = Mapping[str, Any]
"""What can be said in JSON."""


class Stream(Protocol):
    """What a method says while it works. A client that went away is no reason to stop working."""

    def progress(self, fields: Document) -> None:
        """How far the work is; only the newest matters."""
        ...

    def item(self, fields: Document) -> None:
        """One piece of the answer."""
        ...


@dataclass(frozen=True)
class Peer:
    """Who asks, as the kernel says."""

    uid: int
    user: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class Call:
    """One request."""

    params: Document
    peer: Peer
    stream: Stream


@dataclass(frozen=True)
class Method:
    """`name` is the CLI's words, joined by dots; `run` gives the result."""

    name: str
    role: Role
    run: Callable[[Call], Document]


class MethodError(Exception):
    """A method's refusal: one line for a person, a code for the exit status, and details."""

    def __init__(self, code: ErrorCode, message: str, detail: Document | None = None) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.detail: Document = detail or {}
