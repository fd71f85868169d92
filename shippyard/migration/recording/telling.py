"""Owns what is told of what was seen: locks by name, how long others would have waited. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shippyard.migration.recording.holdings import Holding
from shippyard.migration.recording.modes import READER, WRITER, Span, blocks, longest_s
from shippyard.migration.recording.relations import INDEXES, Relation
from shippyard.migration.rehearsal.report import Blocked, LockHeld

LOCKS_MAX = 5_000
UNSEEN_MS = 1.0
"""What a lock is said to be held that left its traces between two looks."""

REWRITER = "AccessExclusiveLock"
INDEXER = "ShareLock"
MS = 1000.0

Find = Callable[[int], Relation | None]


@dataclass(frozen=True)
class Evidence:
    """What was seen. `is_public` says whether others knew a relation at a time.

    `refiled` have another file than before under the same number, which takes ACCESS EXCLUSIVE.
    """

    holdings: Sequence[Holding]
    find: Find
    is_public: Callable[[int, float], bool]
    refiled: frozenset[int]


def locks_of(evidence: Evidence) -> tuple[LockHeld, ...]:
    """Locks in the order they were taken, the longest ones; what only left traces comes last."""
    held = sorted(evidence.holdings, key=lambda each: -each.held_s)[:LOCKS_MAX]
    told = [
        LockHeld(each.mode, relation.name, round(each.held_s * MS, 3), each.revision)
        for each in sorted(held, key=lambda each: each.since_s)
        if (relation := evidence.find(each.oid)) is not None
    ]
    return (*told, *_unseen(evidence))


def blocked_of(evidence: Evidence) -> tuple[Blocked, ...]:
    """Relations whose readers or writers would have waited, the worst first.

    An index stands for its table, because every plan opens it; a partition for those above it,
    because who reads them reads all of it.
    """
    held: Mapping[int, list[Holding]] = _by_relation(evidence)
    found = [
        Blocked(relation.name, _waited_ms(each, READER), _waited_ms(each, WRITER))
        for oid, each in held.items()
        if (relation := evidence.find(oid)) is not None
    ]
    waited = [each for each in found if each.reads_ms or each.writes_ms]
    return tuple(sorted(waited, key=lambda each: (-each.reads_ms, -each.writes_ms, each.relation)))


def _by_relation(evidence: Evidence) -> dict[int, list[Holding]]:
    held: defaultdict[int, list[Holding]] = defaultdict(list)
    for holding in evidence.holdings:
        if evidence.is_public(holding.oid, holding.since_s):
            for oid in set(_concerned(holding.oid, evidence.find)):
                held[oid].append(holding)
    return held


def _concerned(oid: int, find: Find) -> Iterator[int]:
    relation = find(oid)
    if relation is None:
        return
    if relation.kind in INDEXES:
        yield from _concerned(relation.table_oid or 0, find)
        return
    yield oid
    for parent in relation.parents:
        yield from _concerned(parent, find)


def _waited_ms(held: Iterable[Holding], wanted: str) -> float:
    spans: list[Span] = [(each.since_s, each.until_s) for each in held if blocks(each.mode, wanted)]
    return round(longest_s(spans) * MS, 3)


def _unseen(evidence: Evidence) -> Iterator[LockHeld]:
    """Locks that must have been taken, by what they left behind."""
    seen = {(each.oid, each.mode) for each in evidence.holdings}
    for oid in sorted(evidence.refiled):
        relation = evidence.find(oid)
        if relation is None or (oid, REWRITER) in seen:
            continue
        yield LockHeld(REWRITER, relation.name, UNSEEN_MS)
        above = _kept_table(relation, evidence)
        if above is not None and (above.oid, INDEXER) not in seen:
            yield LockHeld(INDEXER, above.name, UNSEEN_MS)


def _kept_table(index: Relation, evidence: Evidence) -> Relation | None:
    """The table of an index that was rebuilt without it."""
    alone = index.table_oid is not None and index.table_oid not in evidence.refiled
    return evidence.find(index.table_oid or 0) if alone else None
