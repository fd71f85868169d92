"""Owns the verdict: what is not as it was, and whether enough was looked at to say so. Pure."""

from collections.abc import Iterator

from shippyard.migration.integrity.model import Changes, Integrity, Snapshot, Verdict
from shippyard.migration.integrity.objects import Finding, judge_objects, judge_rights, texts
from shippyard.migration.integrity.rows import Pair, judge_rows, judge_sequences
from shippyard.migration.integrity.triggers import Triggers

FINDINGS_MAX = 50


def compare(before: Snapshot, after: Snapshot, expected: Changes) -> Integrity:
    """What a run did beside what it was to do.

    Where its SQL could not be read, what nobody said may have been meant: that is `unknown`. So are
    rows that were changed while the run wrote uncounted, and a table with rows of which none was
    looked at.
    """
    pairs = list(_pairs(before, after, Triggers(before.objects, after.objects, expected)))
    findings = [
        *_version(after, expected),
        *judge_objects(before.objects, after.objects, expected),
        *judge_rights(before.rights, after.rights, expected),
        *judge_sequences(before.sequences, after.sequences, expected),
        *(found for pair in pairs for found in judge_rows(pair, expected)),
    ]
    unseen = list(_not_looked_at(before, pairs))
    looked = {pair.name: len(pair.before.sample) for pair in pairs if not pair.after.why_not}
    damaged = any(each.certain or not (each.unsure or expected.unread) for each in findings)
    verdict: Verdict = "damaged" if damaged else "unknown" if findings or unseen else "ok"
    said = (*texts(findings), *unseen)
    return Integrity(verdict, said[:FINDINGS_MAX], looked)


def _version(after: Snapshot, expected: Changes) -> Iterator[Finding]:
    if after.at != expected.at:
        yield Finding(f"alembic_version is {after.at}, not {expected.at}", certain=True)


def _pairs(before: Snapshot, after: Snapshot, triggers: Triggers) -> Iterator[Pair]:
    """Each table with what it is now; one that was dropped is judged as an object."""
    by_oid = {each.oid: each for each in after.tables.values()}
    for name, was in before.tables.items():
        now = after.tables.get(name) or by_oid.get(was.oid)
        if now is not None:
            yield Pair(name, was, now, triggers.written(name, was.columns))


def _not_looked_at(before: Snapshot, pairs: list[Pair]) -> Iterator[str]:
    for pair in pairs:
        why = pair.before.why_not or pair.after.why_not
        if why:
            yield f"{pair.name} was not looked at: {why}"
        elif not pair.before.empty and not pair.before.sample:
            yield f"{pair.name} is not empty, and no row of it was looked at"
    yield from (
        f"{name} was not looked at: {each.why_not}"
        for name, each in before.tables.items()
        if each.why_not and _gone(name, pairs)
    )


def _gone(name: str, pairs: list[Pair]) -> bool:
    return all(pair.name != name for pair in pairs)
