"""Owns what is shown of a metric: samples with labels, in families. Knows no format."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sample:
    """One value with its labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Family:
    """All samples of one metric from one publisher. A counter's name ends in `_total`.

    `fixed` are labels that say where the samples come from, rather than what each is of.
    """

    name: str
    help: str
    kind: Literal["gauge", "counter"]
    samples: tuple[Sample, ...]
    fixed: tuple[str, ...] = ()
