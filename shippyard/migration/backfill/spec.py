"""Owns what a backfill is: which columns of which table, by which expressions, how politely.

Pure. `hash` says whether two are the same work; how politely it is done is no part of that.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shippyard.migration.backfill.throttle import Limits

NAME = re.compile(r"[a-z0-9_]{1,63}")


class BackfillRefused(Exception):
    """It can't be done as things are; one line that says what to do first."""


@dataclass(frozen=True)
class Spec:
    """A backfill. `table` is a name as SQL has it, quoted and with its schema where it needs them.

    `set_` maps columns to SQL expressions over the row; `where` picks the rows, all when None.
    """

    name: str
    table: str
    set_: Mapping[str, str]
    where: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            BackfillRefused: not a name, or nothing to set.
        """
        if not NAME.fullmatch(self.name):
            raise BackfillRefused(
                f"a backfill's name is up to 63 of a-z, 0-9 and _, not {self.name!r}"
            )
        if not self.set_:
            raise BackfillRefused(
                f"backfill {self.name} sets no column; say {{column: expression}}"
            )

    @property
    def hash(self) -> str:
        """The same for the same work."""
        work = {"table": self.table, "set": dict(self.set_), "where": self.where}
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The spec in JSON: what `from_document` reads."""
        return asdict(self)


def from_document(document: Mapping[str, Any]) -> Spec:
    """The spec that was written down."""
    return Spec(**{**document, "limits": Limits(**document["limits"])})
