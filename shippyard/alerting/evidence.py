"""Owns making evidence fit to be sent: a detached copy, plain JSON, bounded, known secrets masked.

Knows nothing of what the evidence means. Lists lose their end first and say how much; long texts
are cut only as far as needed.
"""

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from shippyard.host.secrets import mask

EVIDENCE_MAX_BYTES = 32 * 1024
SUMMARY_MAX_CHARS = 1_000

KEYS_MAX = 100

# characters of a text, items of a list: the first pair that fits is taken
_CUTS = ((16_384, 1_000), (16_384, 50), (4_096, 20), (1_024, 20), (512, 8), (160, 3))


def bounded_evidence(
    evidence: Mapping[str, Any], max_bytes: int = EVIDENCE_MAX_BYTES
) -> dict[str, Any]:
    """A copy whose JSON takes at most `max_bytes`; `<list>_omitted` counts what a list lost."""
    for chars, items in _CUTS:
        cut = _cut_mapping(evidence, chars, items)
        if _size_bytes(cut) <= max_bytes:
            return cut
    return {"truncated": f"the evidence was larger than {max_bytes} bytes"}


def bounded_summary(summary: str) -> str:
    """One line of bounded length."""
    return _cut_text(" ".join(summary.split()), SUMMARY_MAX_CHARS)


def _size_bytes(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document).encode())


def _cut_mapping(source: Mapping[Any, Any], chars: int, items: int) -> dict[str, Any]:
    cut: dict[str, Any] = {}
    for key, value in itertools.islice(source.items(), KEYS_MAX):
        cut[str(key)] = _cut(value, chars, items)
        if isinstance(value, list | tuple) and len(value) > items:
            cut[f"{key}_omitted"] = len(value) - items
    return cut


def _cut(value: Any, chars: int, items: int) -> Any:
    if isinstance(value, Mapping):
        return _cut_mapping(value, chars, items)
    if isinstance(value, list | tuple):
        return [_cut(item, chars, items) for item in value[:items]]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _cut_text(str(value), chars)


def _cut_text(text: str, chars: int) -> str:
    # masked before it is cut: half a secret would not be recognised
    masked = mask(text.encode(errors="replace").decode())
    return masked if len(masked) <= chars else masked[:chars] + "…"
