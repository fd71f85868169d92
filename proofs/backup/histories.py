"""Makes random lives of a backup place: what really happened, and what the daemon saw of it.

The clock on the wall may jump by years while true time goes on. Retention is shown only what the
daemon would see; the judge (`retention.py`) is shown the truth as well. Judges nothing itself.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shippyard.backup.clockwatch import Seen, watch
from shippyard.backup.clockwatch import _clockwork as clockwork_of
from shippyard.backup.model import Backup, BackupState, Kind, Reason
from shippyard.backup.retention import Decision, keep_for, select_expired
from shippyard.config.models import Keep, KeepByKind
from shippyard.host.uptime import Boot

BEGIN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
PLACES = ("here", "elsewhere")
SUBJECTS: tuple[tuple[str, Kind], ...] = (
    ("one", "dump"),
    ("one", "schema"),
    ("two", "dump"),
    ("@main", "base"),
)


@dataclass(frozen=True)
class Pruning:
    """One time that retention was asked, and the truth: `order` is that of making."""

    place: str
    now: datetime
    clock_off: timedelta
    frozen: str | None
    items: tuple[Backup, ...]
    order: dict[str, int]
    wrongly_dated: frozenset[str]
    policies: dict[Kind, Keep]
    decisions: tuple[Decision, ...]


@dataclass
class Life:
    """One random life, step by step."""

    chance: random.Random
    true: datetime = BEGIN
    off: timedelta = timedelta()
    boot: int = 0
    up_s: float = 0.0
    seen: Seen | None = None
    frozen: str | None = None
    made: int = 0
    order: dict[str, int] = field(default_factory=dict)
    wrongly_dated: set[str] = field(default_factory=set)
    places: dict[str, dict[str, Backup]] = field(default_factory=lambda: {p: {} for p in PLACES})

    def __post_init__(self) -> None:
        self.keep = {place: _a_policy(self.chance) for place in PLACES}
        own = {"base": _a_policy(self.chance)} if self.chance.random() < 0.3 else {}
        self.by_kind = {"here": KeepByKind.model_validate(own), "elsewhere": KeepByKind()}
        self.steps: list[tuple[Callable[[], None], int]] = [
            (self._take, 140),
            (self._copy, 12),
            (self._drill, 6),
            (self._hold, 3),
            (self._let_go, 10),
            (self._lose, 3),
            (self._find_again, 9),
            (self._step_clock, 2),
            (self._mend_clock, 12),
            (self._reboot, 4),
            (self._lose_state, 1),
            (self._confirm, 12),
        ]
        self._look()  # installed with a clock that is right: nobody could know otherwise

    @property
    def wall(self) -> datetime:
        """What the clock shows."""
        return self.true + self.off

    def prunings(self) -> Iterator[Pruning]:
        """Live for a while; now and then, retention is asked."""
        doings, weights = zip(*self.steps, strict=True)
        for _ in range(self.chance.randint(5, 90)):
            self._pass_time()
            self.chance.choices(doings, weights)[0]()
            self._look()
            if self.chance.random() < 0.12:
                for place in PLACES:
                    yield self._prune(place)

    def _pass_time(self) -> None:
        # At least an hour: a clock that is a few minutes off then changes no order.
        hours = self.chance.choice([1.1, 6, 24, 24, 24, 24, 24 * 7, 24 * 40])
        self.true += timedelta(hours=hours)
        self.up_s += hours * 3600
        self._look()  # as it does each minute

    def _look(self) -> None:
        self.seen = watch(self.seen, self.wall, Boot(str(self.boot), self.up_s))

    def _take(self) -> None:
        """One attempt, of whatever end."""
        database, kind = self.chance.choice(SUBJECTS)
        states: list[BackupState] = ["published", "failed", "running"]
        state = self.chance.choices(states, [88, 8, 4])[0]
        here = self.places["here"]
        for old in [b for b in here.values() if not b.is_finished]:
            here[old.id] = replace(old, state=self.chance.choice(states[:2]))
        self.made += 1
        name = f"{self.made:04}-{kind}"
        reason: Reason = self.chance.choice(["schedule", "manual", "pre_migration"])
        held_by = f"run-{self.made}" if reason == "pre_migration" else None
        self.order[name] = self.made
        if abs(self.off) > timedelta(hours=1):
            self.wrongly_dated.add(name)
        here[name] = Backup(
            name,
            database,
            kind,
            state,
            reason,
            self.wall,
            held_by=held_by,
            parent=self._a_parent(kind),
        )

    def _a_parent(self, kind: Kind) -> str | None:
        able = [b.id for b in self.places["here"].values() if b.kind == "base" and b.counts]
        if kind != "base" or not able or self.chance.random() < 0.4:
            return None
        return able[-1] if self.chance.random() < 0.7 else self.chance.choice(able)

    def _copy(self) -> None:
        able = [b for b in self.places["here"].values() if b.counts]
        for backup in able[-self.chance.randint(1, 4) :]:
            state: BackupState = "failed" if self.chance.random() < 0.05 else "published"
            copy = replace(backup, state=state, drilled_at=None, held_by=None)
            self.places["elsewhere"].setdefault(backup.id, copy)

    def _drill(self) -> None:
        place = self.places[self.chance.choice(PLACES)]
        if able := [b for b in place.values() if b.counts]:
            backup = self.chance.choice(able)
            place[backup.id] = replace(backup, state="drilled", drilled_at=self.wall)

    def _hold(self) -> None:
        if able := [b for b in self.places["here"].values() if b.counts]:
            backup = self.chance.choice(able)
            self.places["here"][backup.id] = replace(backup, held_by="an operator")

    def _let_go(self) -> None:
        for backup in list(self.places["here"].values()):
            if backup.held_by and self.chance.random() < 0.5:
                self.places["here"][backup.id] = replace(backup, held_by=None)

    def _lose(self) -> None:
        place = self.places[self.chance.choice(PLACES)]
        if able := [b for b in place.values() if b.counts]:
            backup = self.chance.choice(able)
            gone: BackupState = self.chance.choice(["missing", "damaged"])
            place[backup.id] = replace(backup, state=gone)

    def _find_again(self) -> None:
        for place in self.places.values():
            for backup in list(place.values()):
                if backup.state in ("missing", "damaged") and self.chance.random() < 0.7:
                    place[backup.id] = replace(backup, state="published")

    def _step_clock(self) -> None:
        sizes = [timedelta(minutes=25), timedelta(hours=2), timedelta(days=40)]
        size = self.chance.choice([*sizes, timedelta(days=self.chance.randint(200, 4000))])
        self.off = size if self.chance.random() < 0.5 else -size

    def _mend_clock(self) -> None:
        self.off = timedelta()

    def _reboot(self) -> None:
        """The machine was off for up to a weekend; its clock may have lost everything."""
        self.true += timedelta(hours=self.chance.choice([0.1, 10, 60]))
        self.boot, self.up_s = self.boot + 1, 20.0
        if self.chance.random() < 0.4:
            years = timedelta(days=365 * self.chance.randint(1, 30))
            self.off = years if self.chance.random() < 0.3 else -years

    def _lose_state(self) -> None:
        """The catalogue is made again from manifests: attempts that failed are forgotten."""
        self.frozen, self.seen = "the state was lost", None
        here = self.places["here"]
        for backup in [b for b in here.values() if not b.counts]:
            del here[backup.id]

    def _confirm(self) -> None:
        """An operator looks at what there is, and takes away what is dated wrongly.

        With a wrong clock nobody confirms anything.
        """
        if self.frozen is None or self.off != timedelta():
            return
        for place in self.places.values():
            for name in self.wrongly_dated & set(place):
                del place[name]
        self.frozen = None
        self.seen = Seen(self.wall, Boot(str(self.boot), self.up_s), right_since=self.wall)

    def _prune(self, place: str) -> Pruning:
        assert self.seen is not None
        items = tuple(self.places[place].values())
        decisions = select_expired(
            self.chance.sample(items, len(items)),
            self.keep[place],
            self.wall,
            by_kind=self.by_kind[place],
            clock=clockwork_of(self.seen, is_first=False),
            frozen=self.frozen,
        )
        for gone in (d for d in decisions if not d.keep):
            old = self.places[place][gone.id]
            self.places[place][gone.id] = replace(old, state="deleted", held_by=None)
        kinds: tuple[Kind, ...] = ("dump", "schema", "base")
        return Pruning(
            place,
            self.wall,
            self.off,
            self.frozen,
            items,
            self.order,
            frozenset(self.wrongly_dated),
            {kind: keep_for(self.keep[place], self.by_kind[place], kind) for kind in kinds},
            tuple(decisions),
        )


def _a_policy(chance: random.Random) -> Keep:
    return Keep(
        days=chance.choice([1, 1, 3, 7, 30]),
        daily=chance.choice([0, 0, 2, 7]),
        weekly=chance.choice([0, 0, 1, 5]),
        monthly=chance.choice([0, 0, 2, 12]),
        yearly=chance.choice([0, 0, 1, 3]),
        at_least=chance.randint(1, 4),
    )
