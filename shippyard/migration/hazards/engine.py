"""Owns taking statements one after the other past the rules, and what the author lets pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shippyard.migration.hazards.model import Hazard, Way, one_line
from shippyard.migration.hazards.reading.blocks import expand
from shippyard.migration.hazards.reading.comments import Allowed
from shippyard.migration.hazards.reading.sql import Statement
from shippyard.migration.hazards.rules import RULES
from shippyard.migration.hazards.scene import Found, Scene
from shippyard.migration.hazards.schema import Schema


def look_over(
    statements: Sequence[Statement], schema: Schema, way: Way
) -> Iterator[tuple[Statement, Found]]:
    """What the rules say of each statement, in order; `schema` learns as it goes."""
    before: list[Statement] = []
    for at, statement in enumerate(statements):
        after = statements[at + 1 :]
        for each in (statement, *expand(statement, schema)):
            scene = Scene(each, schema, way, tuple(before), after)
            if not each.safe_step:
                yield from ((each, found) for found in _said(scene))
            schema.apply(each)
            before.append(each)


def _said(scene: Scene) -> Iterator[Found]:
    for rule in RULES:
        for found in rule(scene):
            yield _eased(found) if scene.way == "down" else found


def _eased(found: Found) -> Found:
    """A way back that hurts is no reason not to go: a rollback is judged by itself."""
    return replace(found, level="warn") if found.level == "block" else found


def reason_for(
    id_: str, line: int, span: tuple[int, int], allowed: Sequence[Allowed]
) -> str | None:
    """Why a hazard is let pass: by a comment on its line, the line above, or within its call."""
    first, last = (span[0], span[1]) if span[0] else (line, line)
    for each in allowed:
        if each.reason and id_ in each.ids and first - 1 <= each.line <= last:
            return each.reason
    return None


@dataclass(frozen=True)
class Place:
    """Where something was found."""

    way: Way
    line: int
    text: str
    file: str = ""
    revision: str = ""


def hazard(found: Found, at: Place) -> Hazard:
    """What was found, with its place."""
    return Hazard(
        found.id,
        found.level,
        at.revision,
        at.file,
        at.line,
        at.way,
        one_line(at.text),
        found.why,
        found.instead,
    )


def without_doubles(hazards: Iterator[Hazard]) -> tuple[Hazard, ...]:
    """Each thing once."""
    return tuple(dict.fromkeys(hazards))
