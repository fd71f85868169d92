"""Proves that retention never deletes what it must not, by random lives and a judge of its own.

The judge knows the truth (the order in which backups were really made, how wrong the clock is) and
reads the promises from the manual, not from the code: it asks of every backup that went whether any
promise was broken, and of every one that stayed whether it can still be restored.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from proofs.backup.histories import Life, Pruning
from proofs.table import Context, Outcome, Row
from shippyard.backup.model import Backup
from shippyard.backup.retention import select_expired_wal

WORKERS = 2
CHUNK = 500
SHOWN = 5


@dataclass
class Judged:
    """What the judge saw. `frozen` counts the times that nothing could go at all."""

    lives: int = 0
    prunings: int = 0
    deleted: int = 0
    frozen: int = 0
    wal_deleted: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Judged") -> None:
        """Count what another judge saw."""
        self.lives += other.lives
        self.prunings += other.prunings
        self.deleted += other.deleted
        self.frozen += other.frozen
        self.wal_deleted += other.wal_deleted
        self.problems += other.problems


def retention(context: Context) -> Outcome:
    """Live many lives; judge every deletion."""
    lives = context.count(full=100_000, quick=3_000)
    chunks = [range(n, min(n + CHUNK, lives)) for n in range(0, lives, CHUNK)]
    seen = Judged()
    with ProcessPoolExecutor(WORKERS) as pool:
        for judged in pool.map(judge, chunks):
            seen.add(judged)
            if seen.lives % 20_000 == 0:
                context.say(f"{seen.lives} histories, {seen.deleted} deletions")
    measured = (
        f"{seen.lives:,} histories, asked {seen.prunings:,} times ({seen.frozen:,} with a wrong "
        f"clock or lost state): {seen.deleted:,} deletions, {len(seen.problems)} of them of what "
        f"is protected; {seen.wal_deleted:,} WAL segments, each needed by none"
    )
    tested = seen.deleted > lives and seen.frozen > lives // 20 and seen.wal_deleted > lives
    note = "; ".join(seen.problems[:SHOWN]) or ("" if tested else "too little was put to the test")
    return Outcome(measured, ok=not seen.problems and tested, note=note)


def judge(seeds: Iterable[int]) -> Judged:
    """Live one life for each seed and judge what went."""
    seen = Judged()
    for seed in seeds:
        seen.lives += 1
        for pruning in Life(random.Random(seed)).prunings():
            seen.prunings += 1
            seen.frozen += bool(pruning.frozen) or abs(pruning.clock_off) > timedelta(hours=1)
            gone = {d.id for d in pruning.decisions if not d.keep}
            seen.deleted += len(gone)
            seen.problems += [f"life {seed}: {p}" for p in _problems(pruning, gone)]
        deleted, problems = _judge_wal(random.Random(seed))
        seen.wal_deleted += deleted
        seen.problems += [f"WAL of life {seed}: {p}" for p in problems]
    return seen


def _problems(pruning: Pruning, gone: set[str]) -> Iterator[str]:
    counting = {b.id for b in pruning.items if b.counts}
    if {d.id for d in pruning.decisions} != counting:
        yield "not every backup that counts was decided on, or others were"
    if gone and pruning.frozen:
        yield "deleted while frozen"
    if gone and abs(pruning.clock_off) > timedelta(hours=1):
        yield f"deleted with a clock that is off by {pruning.clock_off}"
    for subject in {(b.database, b.kind) for b in pruning.items}:
        line = [b for b in pruning.items if (b.database, b.kind) == subject]
        line.sort(key=lambda b: pruning.order[b.id])
        yield from _broken_promises(pruning, line, gone)


def _broken_promises(pruning: Pruning, line: list[Backup], gone: set[str]) -> Iterator[str]:
    """`line` is of one subject and kind, as it was really made, oldest first."""
    mine = [b for b in line if b.id in gone]
    if not mine:
        return
    keep = pruning.policies[line[0].kind]
    able = [b for b in line if b.counts]
    ended = [b for b in line if b.is_finished]
    if ended[-1].state in ("failed", "missing", "damaged"):
        yield f"deleted while the latest run {ended[-1].id} was {ended[-1].state}"
    if len(able) - len(mine) < min(keep.at_least, len(able)):
        yield f"only {len(able) - len(mine)} of {len(able)} are left"
    protected = {b.id: "newest" for b in able[-keep.at_least :]}
    protected |= {b.id: "newest drilled" for b in [b for b in able if b.drilled_at][-1:]}
    protected |= {b.id: "held" for b in able if b.held_by}
    protected |= {
        b.id: "young" for b in able if pruning.now - b.started_at <= timedelta(days=keep.days)
    }
    protected |= {b.id: "newest restorable" for b in _restorable(line)[-1:]}
    protected |= _of_periods(pruning, line)
    yield from (f"deleted {b.id}: {protected[b.id]}" for b in mine if b.id in protected)
    yield from _orphans(line, gone)


def _restorable(line: list[Backup]) -> list[Backup]:
    """Those with every parent up to a full one, by following the children down."""
    found: dict[str, Backup] = {}
    waiting = [b for b in line if b.counts]
    while ready := [b for b in waiting if b.parent is None or b.parent in found]:
        found |= {b.id: b for b in ready}
        waiting = [b for b in waiting if b.id not in found]
    return [b for b in line if b.id in found]


def _of_periods(pruning: Pruning, line: list[Backup]) -> dict[str, str]:
    """The newest of each of the last days, weeks, months and years that have a restorable one."""
    keep = pruning.policies[line[0].kind]
    dated = [b for b in _restorable(line) if b.id not in pruning.wrongly_dated]
    found: dict[str, str] = {}
    for places, name in ((keep.daily, "%Y%j"), (keep.weekly, "%G%V"), (keep.monthly, "%Y%m")):
        found |= _of_period(dated, places, lambda at, name=name: at.strftime(name))  # type: ignore[misc]  # a default binds it
    return found | _of_period(dated, keep.yearly, lambda at: f"{at:%Y}")


def _of_period(
    dated: list[Backup], places: int, period: Callable[[datetime], str]
) -> dict[str, str]:
    last_of = {period(b.started_at): b.id for b in dated}
    return {last_of[p]: f"of {p}" for p in sorted(last_of, reverse=True)[:places]}


def _orphans(line: list[Backup], gone: set[str]) -> Iterator[str]:
    """What was whole, or was being made, and lost a parent."""
    by_id = {b.id: b for b in line}
    whole = {b.id for b in _restorable(line)}
    making = {b.id for b in line if not b.is_finished and b.parent in whole}
    for name in (whole | making) - gone:
        parent = by_id[name].parent
        if parent in gone:
            yield f"deleted {parent}, the parent of {name}"


def _judge_wal(chance: random.Random) -> tuple[int, list[str]]:
    """A tree of timelines with base backups on it: what is deleted must be on nobody's way."""
    branches = {1: (0, 0)}  # timeline: the one it left, and where
    for timeline in range(2, chance.randint(2, 6)):
        branches[timeline] = (chance.randint(1, timeline - 1), chance.randint(0, 60))
    names = {
        (timeline, n): f"{timeline:08X}{n // 16:08X}{n % 16:08X}"
        for timeline, (_, start) in branches.items()
        for n in range(start, 70)
    }
    bases = [_Base(names[chance.choice(sorted(names))]) for _ in range(chance.randint(0, 4))]
    decided = select_expired_wal(names.values(), bases)
    gone = {d.name for d in decided if not d.keep}
    needed = {name for base in bases for name in _way_on(base.wal_first, names, branches)}
    problems = [f"deleted {name}" for name in sorted(gone & needed)]
    if gone and not bases:
        problems.append("deleted without a base backup")
    return len(gone), problems


@dataclass(frozen=True)
class _Base:
    wal_first: str
    id: str = "base"


def _way_on(
    first: str, names: dict[tuple[int, int], str], branches: dict[int, tuple[int, int]]
) -> Iterator[str]:
    """Every segment that a recovery from `first` may come to, on any timeline."""
    begin = next(key for key, name in names.items() if name == first)
    ways = [begin]
    while ways:
        timeline, n = ways.pop()
        yield from (name for (tl, at), name in names.items() if tl == timeline and at >= n)
        ways += [(tl, at) for tl, (left, at) in branches.items() if left == timeline and at >= n]


ROWS: tuple[Row, ...] = (
    Row(
        "retention",
        "random retention histories: failures, clock jumps of years, chains, holds, drills, "
        "copies, kinds, lost state",
        "0 protected deletions in 100,000",
        retention,
    ),
)
