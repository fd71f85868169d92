"""Rules about a revision as a whole, and about its file. H40, H57, H60, H64, H70, H73."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shippyard.migration.hazards.model import Way
from shippyard.migration.hazards.reading.comments import Allowed
from shippyard.migration.hazards.reading.revision import FUNCTIONS, Read
from shippyard.migration.hazards.reading.sql import Statement
from shippyard.migration.hazards.scene import Found
from shippyard.migration.hazards.way_back import forgotten

# SQLAlchemy's own idea of what is a parameter in a text.
PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
WORDS = frozenset({"head", "heads", "base", "current"})
TEXT_MAKERS = frozenset({"execute", "text"})
MANY = 2
SET = "variable_set_stmt"
COMMIT = re.compile(r"\s*(commit|rollback|begin|end|start\s+transaction)\b", re.IGNORECASE)
HALF = Found(
    "H60",
    "warn",
    "it commits by itself, and other steps are beside it: when one fails, the others stay and the "
    "revision is not stamped",
    "a revision for each step that commits, with nothing else in it",
)


@dataclass(frozen=True)
class Told:
    """What was found, at which line, and the text that shows it."""

    found: Found
    way: Way
    line: int
    text: str


def of_revision(read: Read) -> Iterator[Told]:
    """All that is to be said of a revision as a whole."""
    yield from _irreversible(read)
    yield from _reserved(read)
    yield from _reasons(read.allowed)
    yield from _half_applied("up", read.up)
    yield from _half_applied("down", read.down)
    for way in FUNCTIONS:
        yield from _commits(read, way)
        yield from _parameters(read, way)


def _irreversible(read: Read) -> Iterator[Told]:
    if not read.revision.reversible:
        found = Found(
            "H57",
            "warn",
            "downgrade does nothing: what upgrade changes stays, and only a restore takes it back",
            "write downgrade, or say who decided: # shippyard: allow H57 because <reason>",
        )
        yield Told(found, "down", read.script.line_of("downgrade"), "def downgrade()")
        return
    left = forgotten(read.up, read.down)
    if left:
        found = Found(
            "H57",
            "warn",
            f"downgrade does not take back {', '.join(left)}",
            "write it, or say who decided: # shippyard: allow H57 because <reason>",
        )
        yield Told(found, "down", read.script.line_of("downgrade"), "def downgrade()")


def _reserved(read: Read) -> Iterator[Told]:
    name = read.revision.revision
    if name in WORDS or set(name) & set("@:+-, "):
        found = Found(
            "H64",
            "block",
            f"Alembic takes {name!r} for a word or a range: another revision runs",
            "give it an id of letters, digits and _",
        )
        yield Told(found, "up", 1, f"revision = {name!r}")


def _reasons(allowed: Sequence[Allowed]) -> Iterator[Told]:
    for each in allowed:
        if not each.reason:
            word = ", ".join(sorted(each.ids))
            found = Found(
                "H73",
                "warn",
                f"{word} is let pass without a reason, so it is not let pass",
                f"# shippyard: allow {word} because <reason>",
            )
            yield Told(found, "up", each.line, f"# shippyard: allow {word}")


def _half_applied(way: Way, statements: Sequence[Statement]) -> Iterator[Told]:
    """A step that commits is its revision's only one."""
    apart = [each for each in statements if each.transaction is None and each.kind != SET]
    steps = {each.step for each in apart}
    beside = [each for each in statements if each.transaction is not None and each.kind != SET]
    if apart and (beside or len(steps) >= MANY):
        yield Told(HALF, way, apart[-1].line, apart[-1].text)


def _commits(read: Read, way: Way) -> Iterator[Told]:
    """COMMIT as text ends the transaction behind Alembic's back."""
    for call, text in _texts(read, way):
        if COMMIT.match(text):
            yield Told(HALF, way, call.lineno, text)


def _parameters(read: Read, way: Way) -> Iterator[Told]:
    for call, text in _texts(read, way):
        if not _is_bound(read, way, call):
            yield from _parameter(text, way, call)


def _texts(read: Read, way: Way) -> Iterator[tuple[ast.Call, str]]:
    """The texts that are handed to the database, or made into SQL."""
    for call in read.script.calls(FUNCTIONS[way]):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        text = read.script.value(call.args[0]) if call.args and name in TEXT_MAKERS else None
        if isinstance(text, str):
            yield call, text


def _parameter(text: str, way: Way, call: ast.Call) -> Iterator[Told]:
    found = PARAMETER.search(text)
    if found:
        name = found.group(1)
        said = Found(
            "H70",
            "block",
            f":{name} is a parameter to SQLAlchemy, and nothing gives it a value: it fails",
            rf"write \:{name} in a raw string, or sa.text(...).bindparams({name}=...)",
        )
        yield Told(said, way, call.lineno, text)


def _is_bound(read: Read, way: Way, call: ast.Call) -> bool:
    """True when values are given with it, or around it."""
    if len(call.args) > 1 or "bindparams" in ast.unparse(call):
        return True
    return any(
        call is not outer and _holds(outer, call) and _gives(outer)
        for outer in read.script.calls(FUNCTIONS[way])
    )


def _holds(outer: Any, inner: ast.Call) -> bool:
    return any(each is inner for each in ast.walk(outer))


def _gives(outer: ast.Call) -> bool:
    return len(outer.args) > 1 or "bindparams" in ast.unparse(outer.func)
