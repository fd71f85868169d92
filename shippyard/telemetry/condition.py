"""Owns how a room says that it looked at something, and whether it was right. Knows no rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Condition:
    """One look at one rule for one subject; `summary` None says that all is well.

    A subject is a database by its name in config, or `@cluster`. Both outcomes are told: nothing
    ends before it was seen to be over.
    """

    rule: str
    subject: str
    summary: str | None
    severity: Literal["page", "ticket"] = "page"
    evidence: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Condition], None]


@dataclass(frozen=True)
class Change:
    """Something that was done to a subject, and that nobody need be woken for."""

    subject: str
    summary: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Announce = Callable[[Change], None]
