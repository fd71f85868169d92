"""Owns how many series may be shown: what is over is folded into one more, labelled `other`. Pure.

The first samples are kept, because whoever makes them puts what matters first. What is folded of
sizes and counts is their sum, of ages and ratios the largest; a counter's rest is not shown, for
what it is made of changes, and a counter must not go down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from shippyard.telemetry.samples import Family, Sample

OTHER: Final = "other"
_LARGEST = ("_seconds", "_ratio", "_timestamp_seconds", "_transactions")


@dataclass(frozen=True)
class Fitting:
    """What may be shown, and how many samples are not shown by themselves."""

    families: tuple[Family, ...]
    folded: int


def within(families: Sequence[Family], limit: int) -> Fitting:
    """No more series than `limit`, shared evenly by the families; past that many, none is shown."""
    if sum(len(family.samples) for family in families) <= limit:
        return Fitting(tuple(families), 0)
    each = max(1, limit // len(families))
    shown = [_fold(family, each) for family in families[:limit]]
    left_out = sum(len(family.samples) for family in families[limit:])
    return Fitting(tuple(family for family, _ in shown), left_out + sum(n for _, n in shown))


def _fold(family: Family, limit: int) -> tuple[Family, int]:
    """The family with so many samples at most, and how many of its own are not shown."""
    if len(family.samples) <= limit:
        return family, 0
    if family.kind == "counter":
        kept = family.samples[:limit]
        return replace(family, samples=kept), len(family.samples) - limit
    kept, rest = family.samples[: limit - 1], family.samples[limit - 1 :]
    return replace(family, samples=(*kept, _other(family, rest))), len(rest)


def _other(family: Family, rest: Sequence[Sample]) -> Sample:
    values = [sample.value for sample in rest]
    value = max(values) if family.name.endswith(_LARGEST) else sum(values)
    labels = rest[0].labels.items()
    return Sample({key: v if key in family.fixed else OTHER for key, v in labels}, value)
