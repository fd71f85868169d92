"""Owns one way through the changes under traffic: its stretches, and what is found in each.

Knows nothing of what is changed: `changes.py` and `strategy.py` say that.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from psycopg import sql

from bench.beside import Traffic, traffic
from bench.samples import Figures, Statement, Window, figures_of
from bench.stand import APPLICATION, Stand
from bench.waits import Blocked, blocked, read_log

QUIET = "quiet"
TIER, EMAIL, INDEX, OTHERS = "subscription_tier", "email_v2", "its index", "the others"
BETWEEN = "between"

FIRST_CODE = "old"

EMAILS = "SELECT id::text, {} FROM users"


@dataclass(frozen=True)
class Pace:
    """How much traffic, and how long what stands between the changes takes.

    `warm_s` and `quiet_s` come before the first change, `settle_s` after each; for `together_s` the
    code of before and the code of after are both deployed.
    """

    rate: float
    warm_s: float
    quiet_s: float
    settle_s: float
    together_s: float


FULL = Pace(rate=200, warm_s=10, quiet_s=20, settle_s=2, together_s=5)
QUICK = Pace(rate=150, warm_s=2, quiet_s=3, settle_s=0.4, together_s=1)


@dataclass(frozen=True)
class Stretch:
    """One revision or step. `window` goes on until the next one begins."""

    change: str
    what: str
    window: Window
    wall_s: float


@dataclass(frozen=True)
class Course:
    """What was done, and what the application did meanwhile.

    `given_up` are the moments at which a lock was not got in time; `lost` counts writes that the
    database said it did and does not have.
    """

    stretches: tuple[Stretch, ...]
    statements: tuple[Statement, ...]
    blocked: tuple[Blocked, ...]
    given_up: tuple[float, ...]
    lost: int

    @cached_property
    def quiet(self) -> Figures:
        """The application by itself, before the first change."""
        return self.figures(QUIET)

    @cached_property
    def whole(self) -> Figures:
        """The application from its first statement to its last."""
        return figures_of(self.statements)

    @cached_property
    def changes(self) -> Sequence[Stretch]:
        """All stretches in which something was changed."""
        return [each for each in self.stretches if each.change not in {QUIET, BETWEEN}]

    def figures(self, change: str) -> Figures:
        """Of all statements that were due during a change."""
        return figures_of([s for each in self._of(change) for s in each.window.of(self.statements)])

    def wall_s(self, change: str) -> float:
        """How long the change itself took, without what stood between its steps."""
        return sum(each.wall_s for each in self._of(change))

    def longest(self, *whats: str) -> Blocked | None:
        """The statement that these stretches blocked longest; None when they blocked none."""
        windows = [each.window for each in self.stretches if each.what in whats]
        found = [
            each
            for each in self.blocked
            if each.by_change and any(window.holds(each.statement.due) for window in windows)
        ]
        return max(found, key=lambda each: each.took_ms, default=None)

    def lock_timeouts(self, what: str) -> int:
        """How often a stretch gave up waiting for a lock."""
        windows = [each.window for each in self.stretches if each.what == what]
        return sum(window.holds(moment) for window in windows for moment in self.given_up)

    def longest_ms(self, change: str) -> float:
        """How long that one was blocked; 0 when none was for as long as can be seen."""
        found = self.longest(*(each.what for each in self._of(change)))
        return found.took_ms if found else 0.0

    def _of(self, change: str) -> list[Stretch]:
        return [each for each in self.stretches if each.change == change]


@dataclass
class Going:
    """A course under way."""

    under: Traffic
    pace: Pace
    _deployed: tuple[str, ...] = ()
    _noted: list[tuple[str, str, float, float]] = field(default_factory=list)

    def note(self, change: str, what: str, begun: float, wall_s: float = 0.0) -> None:
        """A stretch began at this moment; it took so long, and goes on until the next one."""
        self._noted.append((change, what, begun, wall_s))

    def settle(self) -> None:
        """Let the application catch up, so that the next step is not blamed, and go on."""
        self.deploy(*self._deployed)
        time.sleep(self.pace.settle_s)

    def deploy(self, *codes: str) -> None:
        """Have these codes serve, and no others."""
        self.under.deploy(*codes)
        self._deployed = codes

    def replace(self, before: str, after: str) -> None:
        """Deploy the code of after beside that of before, and then take that of before away."""
        self.deploy(before, after)
        time.sleep(self.pace.together_s)
        self.deploy(after)
        self.settle()

    def stretches(self) -> tuple[Stretch, ...]:
        """What was done, each until the next one."""
        ends = [*(begun for _, _, begun, _ in self._noted[1:]), time.time()]
        return tuple(
            Stretch(change, what, Window(what, begun, end), wall_s)
            for (change, what, begun, wall_s), end in zip(self._noted, ends, strict=True)
        )


def run(
    stand: Stand, dbname: str, pace: Pace, way: Callable[[Going], None], *, column: str
) -> Course:
    """Copy the database, let the application at it with its first code, and go that way.

    `column` is where an e-mail is to be found in the end.
    """
    stand.copy(dbname)
    folder = stand.folder / dbname
    folder.mkdir()
    application = stand.target(dbname, APPLICATION)
    with traffic(stand.processes, application, folder, pace.rate) as under:
        going = Going(under, pace)
        going.deploy(FIRST_CODE)
        time.sleep(pace.warm_s)  # the first statements find nothing in memory
        going.note(QUIET, QUIET, time.time())
        time.sleep(pace.quiet_s)
        way(going)
        stretches = going.stretches()
    statements = under.statements
    log = read_log(stand.cluster.log_file)
    return Course(
        stretches,
        tuple(statements),
        tuple(blocked(statements, log.waits)),
        log.lock_timeouts,
        _lost(stand, dbname, column, under),
    )


def _lost(stand: Stand, dbname: str, column: str, under: Traffic) -> int:
    """How many e-mails the database said it wrote and does not have."""
    rows = stand.ask(sql.SQL(EMAILS).format(sql.Identifier(column)), dbname)
    there = dict[str, str](rows)
    return sum(there.get(id_) != email for id_, email in under.written.items())
