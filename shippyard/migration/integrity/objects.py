"""Owns judging objects and rights: what is gone or not as before, and whether the plan says so.

An object is explained by a statement that names it. What was switched off and left off is never
explained: who means to do without it drops it. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shippyard.migration.integrity.model import Changes
from shippyard.migration.said import is_meant
from shippyard.postgres.schema_objects import Difference, differences

OF_TABLE = frozenset({"column", "constraint", "policy", "trigger", "rule"})
GUARDS_ROWS = frozenset({"policy", "trigger", "rule", "event trigger"})
KINDS = re.compile(r"(materialized view|event trigger|\w+) (.*)", re.DOTALL)
PART = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
WORD = re.compile(r"\w+")
RIGHT = re.compile(r"(?:owner of )?(?P<object>.*?)(?: to (?P<grantee>[^ ]+|\"[^\"]+\"))?$")
SWITCHES = ("ROW LEVEL SECURITY", "FORCED")


@dataclass(frozen=True)
class Finding:
    """`certain`: no plan can mean it. Else it is one because no statement says so.

    `unsure`: it may as well be the application's doing.
    """

    text: str
    certain: bool = False
    unsure: bool = False


@dataclass(frozen=True)
class Named:
    """An object's kind and the parts of its name: schema, table, its own."""

    kind: str
    parts: tuple[str, ...]

    @property
    def table(self) -> str:
        """The table that it is of, `public.users`; "" for what is of none."""
        return ".".join(self.parts[:2]) if self.kind in OF_TABLE else ""

    @property
    def own(self) -> str:
        """Its own name."""
        return self.parts[-1] if self.parts else ""


def judge_objects(
    before: Mapping[str, str], after: Mapping[str, str], expected: Changes
) -> Iterator[Finding]:
    """What became of objects that nobody said."""
    renamed = _renamed(before, after, expected)
    judge = _Judge(renamed, after, expected)
    for difference in differences(renamed, after):
        yield from judge.of(difference)


def judge_rights(
    before: Mapping[str, str], after: Mapping[str, str], expected: Changes
) -> Iterator[Finding]:
    """Who may do less or more than before with what is still there."""
    for name in sorted(before.keys() | after.keys()):
        had, has = before.get(name), after.get(name)
        still = _is_there(name, before) and _is_there(name, after)
        if had != has and still and not _said_right(name, has, expected):
            yield Finding(f"rights of {name}: {had or 'none'}, now {has or 'none'}")


def named(name: str) -> Named:
    """An object's name taken apart."""
    match = KINDS.match(name)
    assert match is not None
    kind, rest = match.groups()
    bare = rest.partition("(")[0] if kind == "function" else rest
    parts = (a.replace('""', '"') or b for a, b in PART.findall(bare))
    return Named(kind, tuple(parts))


class _Judge:
    def __init__(
        self, before: Mapping[str, str], after: Mapping[str, str], expected: Changes
    ) -> None:
        self._before = before
        self._after = after
        self._expected = expected
        self._all = frozenset[str]().union(*(each.words for each in expected.said))

    def of(self, difference: Difference) -> Iterator[Finding]:
        it = named(difference.name)
        yield from self._left_off(it, difference)
        if difference.after is None:
            if not self._may_go(it, difference.before or ""):
                yield Finding(f"{difference.name} is gone")
        elif difference.before is None:
            if it.kind in GUARDS_ROWS and not self._is_named(it):
                yield Finding(f"{difference.name} is new")
        elif not (self._is_named(it) or self._follows(difference)):
            yield Finding(f"{difference.name} is another one: {difference}")

    def _left_off(self, it: Named, difference: Difference) -> Iterator[Finding]:
        was, now = difference.before or "", difference.after
        if now is None:
            return
        if it.kind == "index" and _newly("INVALID", was, now):
            yield Finding(f"{difference.name} is INVALID", certain=True)
        if it.kind == "constraint" and _newly("NOT VALID", was, now) and not self._unvalidated(it):
            yield Finding(f"{difference.name} is NOT VALID", certain=True)
        if it.kind == "trigger" and _newly("ENABLED D", was, now):
            yield Finding(f"{difference.name} is disabled", certain=True)
        for switch in SWITCHES if it.kind == "table" and difference.before is not None else ():
            if switch in was and switch not in now:
                yield Finding(f"{difference.name} has lost {switch}", certain=True)

    def _unvalidated(self, it: Named) -> bool:
        """The first half of a constraint in two steps: another plan validates it."""
        said = [each for each in self._expected.said if is_meant(each.table, it.table)]
        left = any(it.own in each.unvalidated for each in said)
        return left and not any(it.own in each.validates for each in said)

    def _may_go(self, it: Named, was: str) -> bool:
        if it.kind in OF_TABLE and f"table {_quoted(it.table)}" not in self._after:
            return True  # said of the table
        if it.kind not in GUARDS_ROWS and self._is_remade(it.table or _table_in(was)):
            return True
        return self._is_named(it) or self._went_along(it, was)

    def _is_named(self, it: Named) -> bool:
        if it.kind not in OF_TABLE:
            return it.own in self._all
        tables = {it.parts[1], *self._parents(it.table)}
        return any(it.own in each.words and tables & each.words for each in self._expected.said)

    def _parents(self, table: str) -> set[str]:
        """What is done to a table is done to those that inherit from it."""
        definition = self._before.get(f"table {_quoted(table)}", "")
        _, _, inherits = definition.partition("INHERITS ")
        return {each.rpartition(".")[2].strip('"') for each in inherits.split(" ")[:1] if each}

    def _went_along(self, it: Named, was: str) -> bool:
        """It can't be there without a column or table that was said to be dropped."""
        words = set(WORD.findall(was))
        for said in self._expected.said:
            for dropped in said.drops_columns:
                table, _, column = dropped.rpartition(".")
                of_it = is_meant(table, it.table) if it.table else table in words
                if column in words and (of_it or table.rpartition(".")[2] in words):
                    return True
            for table in said.drops_tables:
                if table.rpartition(".")[2] in words and it.kind not in GUARDS_ROWS:
                    return True
        return False

    def _is_remade(self, table: str) -> bool:
        made = any(each.makes_table and is_meant(each.table, table) for each in self._expected.said)
        taken = any(
            each.renames and is_meant(each.renames[1], table) for each in self._expected.said
        )
        return bool(table) and (made or taken)

    def _follows(self, difference: Difference) -> bool:
        """Only words differ that the plan names: a renamed column in an index."""
        was, now = (set(WORD.findall(each or "")) for each in (difference.before, difference.after))
        retyped = {s.column for each in self._expected.said for s in each.retypes}
        return (was != now and (was ^ now) <= self._all) or bool(retyped & now)


def _renamed(
    before: Mapping[str, str], after: Mapping[str, str], expected: Changes
) -> dict[str, str]:
    """What was, by the names that its tables have now; one that took another's place is not it."""
    found = dict(before)
    for old, new in (each.renames for each in expected.said if each.renames):
        for name in [n for n in found if n.startswith("table ") and is_meant(old, n[6:])]:
            was, now = name[6:], f"{name[6:].rpartition('.')[0]}.{_part(new)}"
            if f"table {was}" in after or f"table {now}" in before:
                continue
            whole = re.compile(rf"{re.escape(was)}(?![\w$])")
            found = {_moved(n, was, now): whole.sub(now, d) for n, d in found.items()}
    return found


def _moved(name: str, was: str, now: str) -> str:
    kind, _, rest = name.partition(" ")
    return f"{kind} {now}{rest[len(was) :]}" if rest == was or rest.startswith(f"{was}.") else name


def _newly(word: str, was: str, now: str) -> bool:
    return _has(word, now) and not _has(word, was)


def _has(word: str, text: str) -> bool:
    """At the end, before what else there is to say of it."""
    return re.search(rf" {word}(?= CLUSTERED| REPLICA| COMMENT|$)", text) is not None


def _table_in(definition: str) -> str:
    """The table of an index, from its definition."""
    match = re.search(r" ON (?:ONLY )?([^ ]+) ", definition)
    return match.group(1).replace('"', "") if match else ""


def _part(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else f'"{name}"'


def _quoted(table: str) -> str:
    return ".".join(_part(each) for each in table.split("."))


def _is_there(name: str, rights: Mapping[str, str]) -> bool:
    match = RIGHT.match(name)
    assert match is not None
    it = match.group("object")
    if it.startswith("column "):
        it = f"table {it[7:].rpartition('.')[0]}"
    return f"owner of {it}" in rights


def _said_right(name: str, has: str | None, expected: Changes) -> bool:
    match = RIGHT.match(name)
    assert match is not None
    it, grantee = named(match.group("object")), match.group("grantee")
    who = {(grantee or has or "").strip('"')} - {"PUBLIC"}
    about = set(it.parts)
    statements = (e for e in expected.said if "grant" in e.kind or "alter" in e.kind)
    return any(bool(about & each.words) and who <= each.words for each in statements)


def texts(findings: Iterable[Finding]) -> tuple[str, ...]:
    """In words."""
    return tuple(each.text for each in findings)
