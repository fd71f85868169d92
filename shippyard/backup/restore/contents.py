"""Owns what an archive of pg_dump holds, and which of it makes one table or one schema whole.

Pure: reads the text of `pg_restore --list --verbose`. pg_restore's own `--table` leaves out
indexes, constraints, sequences and triggers; here a table comes with all that is its own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What belongs to a table, and comes with it. Views and foreign keys of others do not.
OWN = (
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "SEQUENCE",
    "DEFAULT",
    "CHECK CONSTRAINT",
    "CONSTRAINT",
    "INDEX ATTACH",
    "INDEX",
    "TABLE ATTACH",
    "STATISTICS",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "COMMENT",
    "SECURITY LABEL",
    "ACL",
)
RELATIONS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE")
FOREIGN_KEY = "FK CONSTRAINT"
DATA = ("TABLE DATA", "MATERIALIZED VIEW DATA", "SEQUENCE SET", "BLOBS", "BLOB DATA")
# Never created by a restore: they describe the database as a whole.
WHOLE = ("ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES")

KEY_SHARE = 3
"""A row costs that much less in a key's index than in its table."""

_LINE = re.compile(r"(\d+); \d+ \d+ (.+)")
_NEEDS = re.compile(r";\s+depends on: ([\d ]+)")
_WORD = re.compile(r"[A-Z]+")


class NotInArchive(Exception):
    """What was asked for is not in the archive; the message says what is."""


@dataclass(frozen=True)
class Selection:
    """One schema, or one table of it, out of a dump; `into_schema` gives the schema a new name."""

    schema: str
    table: str | None = None
    into_schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.table else f"schema {self.schema}"


@dataclass(frozen=True)
class Item:
    """One line of the archive's contents. `text` begins with its kind; `needs` are other ids."""

    id: int
    text: str
    needs: frozenset[int] = frozenset()

    def is_a(self, kind: str) -> bool:
        """Whether it is of this very kind: `TABLE DATA` is no `TABLE`."""
        rest = self.text.removeprefix(f"{kind} ")
        return rest != self.text and not _is_longer_kind(kind, rest)

    def is_one_of(self, kinds: Iterable[str]) -> bool:
        """Whether it is of one of these kinds."""
        return any(self.is_a(kind) for kind in kinds)


@dataclass(frozen=True)
class Chosen:
    """What a selection takes, by id, and what it leaves out that somebody may miss.

    `keys` are foreign keys from or to it; `views` depend on it and were not asked for.
    """

    ids: frozenset[int]
    keys: tuple[Item, ...]
    views: tuple[str, ...]


def parse_contents(listing: str) -> list[Item]:
    """The archive's items in its own order."""
    items: list[Item] = []
    for line in listing.splitlines():
        if named := _LINE.fullmatch(line):
            items.append(Item(int(named.group(1)), named.group(2)))
        elif items and (needs := _NEEDS.match(line)):
            last = items.pop()
            items.append(Item(last.id, last.text, frozenset(map(int, needs.group(1).split()))))
    return items


def choose(items: list[Item], only: Selection, *, with_needs: bool) -> Chosen:
    """What makes the selection whole; `with_needs` also what it needs, for an empty database.

    Raises:
        NotInArchive: there is no such table or schema.
    """
    ids = _roots(items, only)
    if only.table:
        ids |= _own(items, ids)
    if with_needs:
        ids |= _needed(items, ids)
    keys = [item for item in items if item.is_a(FOREIGN_KEY) and item.needs & ids]
    inside = {key.id for key in keys if key.needs <= ids}
    views = [i for i in items if i.is_one_of(("VIEW", "MATERIALIZED VIEW")) and i.needs & ids]
    return Chosen(
        frozenset((ids - {key.id for key in keys}) | inside),
        tuple(key for key in keys if key.id not in inside),
        tuple(view.text for view in views if view.id not in ids),
    )


def weights(items: Iterable[Item], rows: Mapping[str, int]) -> dict[int, int]:
    """How much work each item is, roughly: its table's rows for data and what is built on them.

    `rows` are by `schema table`, as an archive writes it.
    """
    return {item.id: 1 + _rows_of(item, rows) for item in items if not item.is_one_of(WHOLE)}


def _rows_of(item: Item, rows: Mapping[str, int]) -> int:
    for kind, share in (("TABLE DATA", 1), ("CONSTRAINT", KEY_SHARE)):
        if item.is_a(kind):
            schema, table, *_ = [*item.text.removeprefix(f"{kind} ").split(" "), ""]
            return rows.get(f"{schema} {table}", 0) // share
    return 0


def _roots(items: list[Item], only: Selection) -> set[int]:
    if only.table is None:
        found = _of_schema(items, only.schema)
    else:
        name = f"{only.schema} {only.table} "
        found = {i.id for i in items for kind in RELATIONS if i.text.startswith(f"{kind} {name}")}
    if not found:
        raise NotInArchive(f"{only} is not in this backup; it has {_offered(items, only)}")
    return found


def _of_schema(items: list[Item], schema: str) -> set[int]:
    inside = re.compile(rf"[A-Z][A-Z ]* {re.escape(schema)} ")
    of_it = re.compile(rf"(SCHEMA|(COMMENT|ACL|SECURITY LABEL) - SCHEMA) (- )?{re.escape(schema)} ")
    return {
        item.id
        for item in items
        if (inside.match(item.text) or of_it.match(item.text))
        and not item.is_one_of((*WHOLE, FOREIGN_KEY))
    } | {item.id for item in items if item.is_a(FOREIGN_KEY) and inside.match(item.text)}


def _offered(items: list[Item], only: Selection) -> str:
    texts = [item.text.split(" ") for item in items if item.is_a("TABLE")]
    if only.table:
        names = sorted(f"{schema}.{table}" for _, schema, table, *_ in texts)
    else:
        names = sorted({f"schema {schema}" for _, schema, *_ in texts})
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""  # noqa: PLR2004  one line
    return (", ".join(names[:10]) or "no table") + more


def _own(items: list[Item], roots: set[int]) -> set[int]:
    """All that depends on the roots and is theirs, partitions with what is theirs included."""
    users: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        for need in item.needs:
            users[need].append(item)
    by_id = {item.id: item for item in items}
    found, ahead = set(roots), list(roots)
    while ahead:
        here = ahead.pop()
        new = {user.id for user in users[here] if user.is_one_of(OWN)}
        if by_id[here].is_a("TABLE ATTACH"):
            # A partition depends on its parent like any user; being attached makes it the parent's.
            partition = f"TABLE {by_id[here].text.removeprefix('TABLE ATTACH ')}"
            new |= {need for need in by_id[here].needs if by_id[need].text == partition}
        ahead.extend(new - found)
        found |= new
    return found


def _needed(items: list[Item], ids: set[int]) -> set[int]:
    """What must be there before, without its data."""
    by_id = {item.id: item for item in items}
    found, ahead = set(ids), list(ids)
    while ahead:
        item = by_id[ahead.pop()]
        if item.is_a(FOREIGN_KEY):
            continue
        new = {n for n in item.needs if n in by_id and not by_id[n].is_one_of((*DATA, *WHOLE))}
        ahead.extend(new - found)
        found |= new
    return found


def _is_longer_kind(kind: str, rest: str) -> bool:
    """Whether what follows still is part of a kind's name, as DATA of TABLE DATA."""
    longer = {
        "TABLE": ("DATA ", "ATTACH "),
        "SEQUENCE": ("OWNED BY ", "SET "),
        "MATERIALIZED VIEW": ("DATA ",),
        "INDEX": ("ATTACH ",),
        "DATABASE": ("PROPERTIES ",),
        "DEFAULT": ("ACL ",),
    }
    return rest.startswith(longer.get(kind, ())) if kind in longer else False
