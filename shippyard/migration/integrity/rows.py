"""Owns judging rows: which were lost or changed by the run, and not by the application beside it.

A row has the transaction that wrote it. What a run's own transactions wrote and its plan does not
say is damage; what others wrote is theirs. Where a run rewrites rows on purpose, what others did to
them before can't be told from it by the row: then only more changes than all others ever made are.
Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shippyard.migration.integrity.model import Changes, SampledRow, SequenceSeen, TableSeen
from shippyard.migration.integrity.objects import Finding
from shippyard.migration.said import is_meant

# The server's counts of what others did come late; so many changes more than they say are theirs.
LATE_ROWS = 20
LATE_FACTOR = 2
UNCOUNTED = "while the run wrote in statements that commit by themselves, which nobody counts"
SWAP_LOSES = 0.01  # what others deleted while a table was copied into another


@dataclass(frozen=True)
class Pair:
    """One table before and after. `triggered` are columns that its triggers, or others', write."""

    name: str
    before: TableSeen
    after: TableSeen
    triggered: frozenset[str] = frozenset()

    @property
    def plain(self) -> str:
        """Its name without quotes, as the run's own counts have it."""
        return self.name.replace('"', "")

    @property
    def lost(self) -> int:
        """Rows looked at before that are not there any more; a row without a key is not missed."""
        if not self.before.has_key:
            return 0
        return sum(key not in self.after.sample for key in self.before.sample)


def judge_rows(pair: Pair, expected: Changes) -> Iterator[Finding]:
    """What became of one table's rows that nobody said."""
    yield from _deleted(pair, expected)
    yield from _changed(pair, expected)


def judge_sequences(
    before: Mapping[str, SequenceSeen], after: Mapping[str, SequenceSeen], expected: Changes
) -> Iterator[Finding]:
    """Sequences that went back, or are behind the column that they fill."""
    for name, was in before.items():
        now = after.get(name)
        own = name.rpartition(".")[2].strip('"')
        if now is None or any(own in each.words for each in expected.said):
            continue
        if was.last is not None and (now.last is None or now.last < was.last):
            yield Finding(f"sequence {name} went back from {was.last} to {now.last or 'its start'}")
        elif _is_behind(now) and not _is_behind(was):
            yield Finding(f"sequence {name} is at {now.last}, its column at {now.highest}")


def _is_behind(seen: SequenceSeen) -> bool:
    return seen.highest is not None and (seen.last or 0) < seen.highest


def _deleted(pair: Pair, expected: Changes) -> Iterator[Finding]:
    if _says_delete(pair, expected):
        return
    ours = expected.wrote.of(pair.plain).deleted if expected.wrote else 0
    lost, looked = pair.lost, len(pair.before.sample)
    gone = f"{pair.name}: {lost:,} of {looked:,} rows that were looked at are gone"
    if ours:
        yield Finding(f"{pair.name}: the run deleted {ours:,} rows of it")
    elif lost and _was_replaced(pair):
        yield Finding(gone)
    elif lost and _wrote_uncounted(expected):
        yield Finding(f"{gone}, {UNCOUNTED}", unsure=True)
    elif pair.after.empty and not pair.before.empty and not pair.before.has_key:
        yield Finding(f"{pair.name} is empty, and was not")


def _was_replaced(pair: Pair) -> bool:
    """Whether rows went with their table's file, or stayed in another table. None are counted."""
    looked = len(pair.before.sample)
    if pair.before.oid != pair.after.oid:
        return pair.lost > SWAP_LOSES * looked
    return pair.before.file != pair.after.file and pair.lost == looked


def _wrote_uncounted(expected: Changes) -> bool:
    return expected.wrote is None or bool(expected.wrote.unseen)


def _changed(pair: Pair, expected: Changes) -> Iterator[Finding]:
    said = _said_columns(pair, expected)
    for (name, place), now_place in _common(pair, said):
        changed = [now for was, now in _rows(pair) if was.hashes[place] != now.hashes[now_place]]
        ours = [e for e in changed if expected.wrote and e.xmin in expected.wrote.xids]
        looked = len(pair.after.sample)
        text = (
            f"{pair.name}.{name}: {{}} of {looked:,} values that were looked at are not as before"
        )
        if ours and _is_damage(pair, len(ours), expected, rewritten=bool(said)):
            yield Finding(text.format(f"{len(ours):,}"))
        elif changed and not said and _wrote_uncounted(expected):
            yield Finding(f"{text.format(f'{len(changed):,}')}, {UNCOUNTED}", unsure=True)


def _is_damage(pair: Pair, ours: int, expected: Changes, *, rewritten: bool) -> bool:
    """Rows that a run rewrites on purpose hide who changed the rest of them before."""
    if not rewritten and pair.before.file == pair.after.file:
        return True
    wrote = expected.wrote.of(pair.plain).updated if expected.wrote else 0
    by_others = pair.after.updated - pair.before.updated - wrote
    return ours > LATE_ROWS + LATE_FACTOR * max(0, by_others)


def _rows(pair: Pair) -> Iterator[tuple[SampledRow, SampledRow]]:
    for key, was in pair.before.sample.items():
        now = pair.after.sample.get(key)
        if now is not None and (pair.before.has_key or now.xmin == was.xmin):
            yield was, now


def _common(pair: Pair, said: frozenset[str]) -> Iterator[tuple[tuple[str, int], int]]:
    """Columns that are there before and after, of one type, and which the plan does not write."""
    after = list(pair.after.columns)
    renamed = {number: name for name, (number, _) in pair.after.columns.items()}
    same = pair.before.oid == pair.after.oid
    for place, (name, (number, type_)) in enumerate(pair.before.columns.items()):
        now = name if name in pair.after.columns else renamed.get(number, "") if same else ""
        if now and not {name, now, "*"} & said and pair.after.columns[now][1] == type_:
            yield (name, place), after.index(now)


def _said_columns(pair: Pair, expected: Changes) -> frozenset[str]:
    return pair.triggered | {
        setting.column
        for each in expected.said
        if each.table and is_meant(each.table, pair.plain)
        for setting in (*each.sets, *each.retypes)
    }


def _says_delete(pair: Pair, expected: Changes) -> bool:
    written = [name for each in expected.said for name in (*each.deletes, *each.drops_tables)]
    return any(is_meant(name, pair.plain) for name in written)
