"""Owns the same changes as a plain strategy has them, under the same traffic, and the comparison.

One UPDATE for all rows, a constraint that scans under the strongest lock, a plain index, a column
that is dropped and one that takes its name; no lock_timeout. The SQL is in `sql/`. Run it:
`python -m bench.strategy --users 1000000`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from bench.changes import our_way
from bench.course import (
    EMAIL,
    FIRST_CODE,
    FULL,
    INDEX,
    OTHERS,
    QUIET,
    TIER,
    Course,
    Going,
    Pace,
    run,
)
from bench.samples import Figures
from bench.stand import MIGRATOR, Stand, stand
from shippyard.host.process import Processes

SQL = Path(__file__).parent / "sql"
COMPARED = (TIER, EMAIL, INDEX)
STEP_TIMEOUT_S = 1800
HEADS = ("change", "p50", "p99", "max", "blocked", "errors", "wall")


@dataclass(frozen=True)
class Compared:
    """Both ways through the same changes, on copies of the same database."""

    ours: Course
    theirs: Course

    def lines(self) -> list[str]:
        """A table: milliseconds, errors, seconds; ours, theirs, and how many times ours it is."""
        lines = [_cells(HEADS)]
        for change in (QUIET, *COMPARED):
            lines.append(_cells([f"{change}, ours", *_row(self.ours, change)]))
            lines.append(_cells([f"{change}, strategy's", *_row(self.theirs, change)]))
            lines.append(_cells([f"{change}, times ours", *self._ratios(change)]))
        lines.append(_cells([f"{OTHERS}, ours", *_row(self.ours, OTHERS)]))
        lines += [f"lost writes: ours {self.ours.lost}, the strategy's {self.theirs.lost}"]
        lines += [f"errors, ours: {errors_of(self.ours)}; strategy's: {errors_of(self.theirs)}"]
        return lines

    def _ratios(self, change: str) -> list[str]:
        ours, theirs = self.ours.figures(change), self.theirs.figures(change)
        pairs = (
            (theirs.p50_ms, ours.p50_ms),
            (theirs.p99_ms, ours.p99_ms),
            (theirs.max_ms, ours.max_ms),
            (self.theirs.longest_ms(change), self.ours.longest_ms(change)),
        )
        wall = (self.theirs.wall_s(change), self.ours.wall_s(change))
        return [*map(_times, pairs), "", _times(wall)]


def compare(
    folder: Path, users: int, pace: Pace, say: Callable[[str], None] = lambda _: None
) -> Compared:
    """Fill a database once, and go both ways on copies of it, one after the other.

    Raises:
        ChangeFailed, TrafficFailed: one of them did not come to an end.
    """
    processes = Processes()
    try:
        say(f"filling a database with {users:,} people")
        with stand(folder, processes, users) as made:
            say("our revisions under traffic")
            ours = our_way(made, "ours", pace)
            say("the strategy's steps under the same traffic")
            return Compared(ours, their_way(made, "theirs", pace))
    finally:
        processes.end_all()


def their_way(stand_: Stand, dbname: str, pace: Pace) -> Course:
    """The strategy's steps, each as soon as the one before is done.

    The code of after is deployed as late as can be, and after the last step the code that knows the
    column by its old name again. What follows between that and the step is the strategy's.
    """
    target = stand_.target(dbname, MIGRATOR)

    def way(going: Going) -> None:
        def step(change: str, file: str) -> None:
            begun = time.time()
            execute(file)
            going.note(change, file, begun, time.time() - begun)
            going.settle()

        step(TIER, "strategy_tier.sql")
        going.replace(FIRST_CODE, "tier")
        step(EMAIL, "strategy_email_add.sql")
        step(EMAIL, "strategy_email_fill.sql")
        step(INDEX, "strategy_email_index.sql")
        going.replace("tier", "email_v2")
        step(EMAIL, "strategy_email_drop.sql")
        step(EMAIL, "strategy_email_rename.sql")
        going.replace("email_v2", "tier")

    def execute(file: str) -> None:
        options = f"-c statement_timeout={STEP_TIMEOUT_S}s"
        with psycopg.connect(**target.conninfo(), autocommit=True, options=options) as opened:
            opened.execute((SQL / file).read_bytes())  # all of it in one transaction

    return run(stand_, dbname, pace, way, column="email")


def main() -> int:
    """Compare, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000, help="how many people there are")
    parser.add_argument("--rate", type=float, default=FULL.rate, help="users served a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        # PostgreSQL runs as another account than root, and must be able to look in.
        Path(folder).chmod(0o755)
        pace = replace(FULL, rate=asked.rate)
        compared = compare(Path(folder) / "stand", asked.users, pace, print)
        print("\n".join([*compared.lines(), "", *revisions_of(compared.ours)]))
    return 0


def revisions_of(course: Course) -> list[str]:
    """A line for each revision: what it took, and who was blocked longest by what."""
    lines = []
    for each in course.changes:
        longest = course.longest(each.what)
        said = "nobody was blocked"
        if longest:
            what = f"{longest.statement.name}, {longest.what}"
            said = f"blocked at most {longest.took_ms:.0f} ms ({what})"
        given_up = course.lock_timeouts(each.what)
        tries = f", {given_up} locks not got in time" if given_up else ""
        lines.append(f"{each.what}: {each.wall_s:.1f} s{tries}; {said}")
    return lines


def _row(course: Course, change: str) -> list[str]:
    found: Figures = course.figures(change)
    times = (found.p50_ms, found.p99_ms, found.max_ms, course.longest_ms(change))
    return [*(f"{each:.1f}" for each in times), f"{found.failed}", f"{course.wall_s(change):.1f}"]


def errors_of(course: Course) -> str:
    """Every kind of error that the application got, with how many there were."""
    found = sorted(course.whole.errors.items())
    return ", ".join(f"{kind} {count}" for kind, count in found) or "none"


def _times(pair: tuple[float, float]) -> str:
    theirs, ours = pair
    return f"{theirs / ours:.1f} x" if ours else "-"


def _cells(cells: Sequence[str]) -> str:
    first, *others = cells
    return "  ".join([first.ljust(30), *(each.rjust(9) for each in others)])


if __name__ == "__main__":
    sys.exit(main())
