"""Owns masking of whole values: every text in a nest of dicts and lists, keys too.

Text is masked before it is written as JSON: escaped quotes, backslashes and letters would hide a
secret. It knows no secret itself and no place where values are shown.
"""

from collections.abc import Mapping
from typing import Any

from shippyard.host.secrets import mask

DEPTH_MAX = 50
"""Deeper values are said as one text, so that a value that holds itself comes to an end."""


def masked(value: Any, depth: int = 0) -> Any:
    """`value` as JSON can have it, without known secrets; what JSON doesn't have becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < DEPTH_MAX:
        return {mask(_said(key)): masked(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < DEPTH_MAX:
        return [masked(inner, depth + 1) for inner in value]
    return mask(_said(value))


def _said(value: Any) -> str:
    # str() of bytes escapes what is not ASCII
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
