"""Owns the tiny language of `when`: `<column> <comparison> <number or parameter>`, nothing more.

Parsed once, when a check is loaded. There is no `and`: two conditions are two checks.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FORM = re.compile(r"\s*([a-z_][a-z0-9_]*)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


class WhenInvalid(Exception):
    """Not a condition; the message says what one looks like."""


@dataclass(frozen=True)
class Condition:
    """`subject` is a column, or `rows`, or `value` (the first metric's column)."""

    subject: str
    comparison: str
    limit: float

    def holds(self, value: float | None) -> bool:
        """Whether a value meets the condition; an absent value never does."""
        return value is not None and _COMPARISONS[self.comparison](value, self.limit)


def parse_when(text: str, params: Mapping[str, float]) -> Condition:
    """The condition that `text` says; a word on its right side is one of `params`.

    Raises:
        WhenInvalid: anything else.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise WhenInvalid(f"{text!r} is not a condition; write one like 'value > 0'")
    subject, comparison, limit = match.groups()
    return Condition(subject, comparison, _limit(limit, params))


def when_names(text: str) -> frozenset[str]:
    """Words on the right side, which are names of parameters."""
    match = _FORM.fullmatch(text)
    return frozenset(re.findall(r"[a-z_][a-z0-9_]*$", match.group(3))) if match else frozenset()


def _limit(text: str, params: Mapping[str, float]) -> float:
    if text in params:
        return params[text]
    try:
        return float(text)
    except ValueError:
        raise WhenInvalid(f"{text!r} is neither a number nor one of [params]") from None
