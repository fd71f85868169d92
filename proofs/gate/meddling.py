"""Owns changing an audit as somebody does who may write its files, and asking if it is told."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select, update

from proofs.gate.approved_world import Hand
from proofs.table import Context, Outcome
from shippyard.host.signing import signer_in
from shippyard.migration.anchor import HEAD_FILE, LINES_FILE, Anchor
from shippyard.migration.audit import Audit
from shippyard.state.database import State, open_state
from shippyard.state.tables import audit as table

ENTRIES = 30
TRIALS, QUICK_TRIALS = 200, 60
SEED = 20261123


@dataclass(frozen=True)
class Meddler:
    """Who may write the database and the anchor's files, and has no key of ours."""

    state: State
    folder: Path
    chance: random.Random

    def rows(self) -> list[dict[str, Any]]:
        """The entries."""
        with self.state.read() as connection:
            found = connection.execute(select(table).order_by(table.c.seq)).mappings()
            return [dict(each) for each in found]

    def put(self, rows: list[dict[str, Any]]) -> None:
        """These are all the entries now."""
        with self.state.write() as connection:
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)

    def any_seq(self) -> int:
        """One of the entries."""
        return self.chance.randint(1, ENTRIES)


def audit(context: Context) -> Outcome:
    """Every trial begins with the untouched files."""
    count = context.count(full=TRIALS, quick=QUICK_TRIALS)
    chance, missed = random.Random(SEED), Counter[str]()
    anchor = Anchor(context.folder, signer_in(context.folder / "keys"))
    with open_state(context.folder) as state:
        book = Audit(state, Hand(), anchor)
        for number in range(ENTRIES):
            book.record("ana", "run.started", f"run-{number}", {"number": number})
        meddler = Meddler(state, context.folder, chance)
        rows, files = meddler.rows(), _files(context.folder)
        for number in range(count):
            name = list(WAYS)[number % len(WAYS)]
            WAYS[name](meddler)
            missed[name] += book.verify().verdict == "whole"
            meddler.put(rows)
            _put_back(context.folder, files)
        whole = book.verify().verdict == "whole"
    found = count - missed.total()
    return Outcome(
        f"{found} of {count} found, in {len(WAYS)} ways; untouched: {'whole' if whole else 'not'}",
        ok=found == count and whole,
        note=", ".join(+missed),
    )


def _files(folder: Path) -> Mapping[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (LINES_FILE, HEAD_FILE)}


def _put_back(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _changed(by: Meddler) -> None:
    name = by.chance.choice(("actor", "action", "subject", "hash", "previous_hash"))
    with by.state.write() as connection:
        seq = by.any_seq()
        connection.execute(update(table).where(table.c.seq == seq).values({name: "x" * 64}))


def _removed(by: Meddler) -> None:
    with by.state.write() as connection:
        connection.execute(delete(table).where(table.c.seq == by.any_seq()))


def _put_at_the_end(by: Meddler) -> None:
    Audit(by.state, Hand()).record("eve", "plan.approve", "shop", {})


def _put_between(by: Meddler) -> None:
    """One more in the middle, and the rest chained to it anew."""
    rows = by.rows()
    at = by.any_seq()
    _written_anew(by, [*rows[:at], rows[at - 1], *rows[at:]])


def _swapped(by: Meddler) -> None:
    rows = by.rows()
    first, second = by.chance.sample(range(ENTRIES), 2)
    left, right = rows[first]["seq"], rows[second]["seq"]
    rows[first]["seq"], rows[second]["seq"] = right, left
    by.put(rows)


def _swapped_and_chained(by: Meddler) -> None:
    rows = by.rows()
    first, second = by.chance.sample(range(ENTRIES), 2)
    rows[first], rows[second] = rows[second], rows[first]
    _written_anew(by, rows)


def _cut(by: Meddler) -> None:
    with by.state.write() as connection:
        connection.execute(delete(table).where(table.c.seq > ENTRIES - by.chance.randint(1, 29)))


def _cut_with_its_anchor(by: Meddler) -> None:
    _cut_to(by, by.chance.randint(0, ENTRIES - 1))


def _cut_with_a_line_as_head(by: Meddler) -> None:
    left = by.chance.randint(1, ENTRIES - 1)
    _cut_to(by, left)
    (by.folder / HEAD_FILE).write_text((by.folder / LINES_FILE).read_text().splitlines()[-1])


def _cut_without_head(by: Meddler) -> None:
    _cut_to(by, by.chance.randint(1, ENTRIES - 1))
    (by.folder / HEAD_FILE).unlink()


def _cut_to(by: Meddler, left: int) -> None:
    with by.state.write() as connection:
        connection.execute(delete(table).where(table.c.seq > left))
    file = by.folder / LINES_FILE
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:left]))


def _made_anew(by: Meddler) -> None:
    rows = by.rows()
    by.chance.choice(rows)["actor"] = "eve"
    _written_anew(by, rows)


def _anchored_by_another_key(by: Meddler) -> None:
    for name in (LINES_FILE, HEAD_FILE):
        (by.folder / name).unlink()
    rows = by.rows()
    by.chance.choice(rows)["actor"] = "eve"
    anchor = Anchor(by.folder, signer_in(by.folder / "eves"))
    _written_anew(by, rows, anchor)


def _without_files(by: Meddler) -> None:
    (by.folder / by.chance.choice((LINES_FILE, HEAD_FILE))).unlink()


def _all_gone(by: Meddler) -> None:
    by.put([])


def _written_anew(by: Meddler, rows: list[dict[str, Any]], anchor: Anchor | None = None) -> None:
    """A chain in which every hash is as it should be."""
    by.put([])
    forged = Audit(by.state, Hand(), anchor)
    for row in rows:
        forged.record(row["actor"], row["action"], row["subject"], row["detail"])


WAYS: Mapping[str, Callable[[Meddler], None]] = {
    "an entry changed": _changed,
    "an entry taken out": _removed,
    "an entry put at the end": _put_at_the_end,
    "an entry put between, chained anew": _put_between,
    "two swapped": _swapped,
    "two swapped, chained anew": _swapped_and_chained,
    "cut": _cut,
    "cut with its anchor": _cut_with_its_anchor,
    "cut with its anchor, a line as head": _cut_with_a_line_as_head,
    "cut with its anchor, no head": _cut_without_head,
    "made anew": _made_anew,
    "made anew, anchored by another key": _anchored_by_another_key,
    "without one of its files": _without_files,
    "all entries gone": _all_gone,
}
