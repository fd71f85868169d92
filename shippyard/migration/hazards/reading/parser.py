"""Owns PostgreSQL's own parser, as a library: loaded when the first text is read, and not before.

It is a tenth of a daemon's memory, and one that only watches reads no text at all.
"""

from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

AS_IT_IS: Mapping[str, Any] = {"preserving_proto_field_name": True}


@cache
def parser() -> ModuleType:
    """`postgast`: its functions, and `PgQueryError` for what is not SQL."""
    import postgast  # noqa: PLC0415

    loaded: ModuleType = postgast
    return loaded


def as_document(node: Any) -> dict[str, Any]:
    """A node of the parser's as plain values, with the names that PostgreSQL gives them."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    document: dict[str, Any] = MessageToDict(node, **AS_IT_IS)
    return document
