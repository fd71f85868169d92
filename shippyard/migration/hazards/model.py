"""Owns what a hazard is: one thing in a migration's text that hurts, fails or looks risky.

Knows no rule, no SQL and no file.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["block", "warn", "note"]
Way = Literal["up", "down"]

STATEMENT_MAX_CHARS = 200


@dataclass(frozen=True)
class Hazard:
    """One thing found, where it stands, why it matters, and what to write instead.

    `id` is that of docs/hazards.md. `block` would hurt or fail in production, `warn` looks risky,
    `note` is said and holds nothing up. `line` is 1 where it is not known. `suppressed` is the
    reason that the author gave beside it.
    """

    id: str
    level: Level
    revision: str
    file: str
    line: int
    way: Way
    statement: str
    why: str
    instead: str
    suppressed: str | None = None
    source: Literal["shippyard", "squawk"] = "shippyard"

    @property
    def flags(self) -> bool:
        """True when it asks for somebody's attention: not a note, and not suppressed."""
        return self.level != "note" and self.suppressed is None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def one_line(text: str) -> str:
    """A statement as a hazard shows it: one line, cut at 200 characters."""
    line = " ".join(text.split())
    if len(line) <= STATEMENT_MAX_CHARS:
        return line
    return line[: STATEMENT_MAX_CHARS - 1] + "…"
