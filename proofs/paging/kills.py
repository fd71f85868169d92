"""Proves that no page is lost, doubled or told in the wrong order, whoever dies or misbehaves."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from proofs.paging.ledger import Entry, is_quiet, read_entries
from proofs.paging.receivers import Arrival, Desk, Door, Mood
from proofs.paging.stage import stage, state_of, troubles
from proofs.rig import Rig
from proofs.table import Context, Outcome, Row
from proofs.waiting import until

KILLS, QUICK_KILLS = 100, 5
ROUTES = ("hook", "duty")
NAMES = ("alpha", "beta", "gamma", "delta")
LIFE_S = (0.0, 4.0)
"""How long a daemon lives after it said that it is ready."""
TROUBLE_S = (1.0, 5.0)
WELL_S = (2.0, 7.0)
RETRY_MAX_S = 5
DELIVERED_GOAL_S = 60.0
DRAINED_WITHIN_S = 90.0
OVER_WITHIN_S = 60.0
SEED = 11

BAD: Sequence[Mood] = tuple(mood for mood in Mood if mood is not Mood.WELL)


@dataclass
class Course:
    """What happened when, in seconds since 1970: deaths, and when each receiver came back."""

    kills: list[float] = field(default_factory=list)
    returns: dict[str, list[float]] = field(default_factory=lambda: {r: [0.0] for r in ROUTES})

    def turn(self, name: str, door: Door, mood: Mood) -> None:
        """A receiver becomes like this; well again is a return."""
        if mood is Mood.WELL and door.mood is not Mood.WELL:
            self.returns[name].append(time.time())
        door.turn(mood)

    def returned_before(self, name: str, at: float) -> float:
        """When the receiver last came back before `at`."""
        return max(each for each in self.returns[name] if each <= at)


def kills(context: Context) -> Outcome:
    """`kill -9` over and over, while incidents come and go and receivers have bad days."""
    course = Course()
    with stage(context, ROUTES) as (made, tools):
        made.document["alerting"]["retry_max_s"] = RETRY_MAX_S
        made.start()
        with _coming_and_going(made):
            _kill_often(context, made, tools, course)
        drained_s = _drain(made, tools, course)
        made.stop()
        entries = read_entries(state_of(made))
        taken = {name: door.kept.arrived for name, door in _doors(tools).items()}
    return _judged(course, entries, taken, drained_s)


def _doors(tools: Desk) -> dict[str, Door]:
    return {"hook": tools.hook, "duty": tools.duty}


def _kill_often(context: Context, made: Rig, tools: Desk, course: Course) -> None:
    chance = random.Random(SEED)
    count = context.count(full=KILLS, quick=QUICK_KILLS)
    for number in range(1, count + 1):
        for name, door in _doors(tools).items():
            # Half of the time a receiver is well, so that deaths meet deliveries too.
            course.turn(name, door, chance.choice((*BAD, *[Mood.WELL] * len(BAD))))
        _let_live(tools, chance.uniform(*LIFE_S), is_hasty=number % 2 == 0)
        course.kills.append(time.time())
        made.kill()
        made.start(wait_up=False)
        if number % 10 == 0:
            context.say(f"{number} kills, {len(tools.hook.kept.arrived)} messages at the webhook")


def _let_live(tools: Desk, seconds: float, *, is_hasty: bool) -> None:
    """Until a moment that chance gave; or, hastily, until somebody is being told of something."""
    ends = time.monotonic() + seconds
    before = _taken(tools)
    until(
        lambda: time.monotonic() >= ends or (is_hasty and _taken(tools) > before),
        seconds + 5,
        "the moment to die",
        pause_s=0.001,
    )


def _taken(tools: Desk) -> int:
    return sum(len(door.kept.arrived) for door in _doors(tools).values())


@contextmanager
def _coming_and_going(made: Rig) -> Iterator[None]:
    """Each of a few things is wrong for some seconds and well for some, until the block is left."""
    over = threading.Event()
    with ThreadPoolExecutor(len(NAMES)) as pool:
        lives = [pool.submit(_come_and_go, made, name, over) for name in NAMES]
        try:
            yield
        finally:
            over.set()
        for life in lives:
            life.result()


def _come_and_go(made: Rig, name: str, over: threading.Event) -> None:
    chance = random.Random(name)
    with troubles(made) as wrong:
        while not over.wait(chance.uniform(*WELL_S)):
            wrong.begin(name)
            over.wait(chance.uniform(*TROUBLE_S))
            wrong.end(name)


def _drain(made: Rig, tools: Desk, course: Course) -> float:
    """All is well again, and stays so; how long until nothing is owed to anybody."""
    begun = time.monotonic()
    for name, door in _doors(tools).items():
        course.turn(name, door, Mood.WELL)
    until(lambda: is_quiet(state_of(made)), DRAINED_WITHIN_S, "all is told", pause_s=0.2)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Judged:
    """What became of the messages to one receiver."""

    lost: Sequence[str]
    misplaced: Sequence[str]
    doubled: int
    doubled_at_once: int
    longest_s: float


def _judged(
    course: Course,
    entries: Sequence[Entry],
    taken: dict[str, list[Arrival]],
    drained_s: float,
) -> Outcome:
    judged = {name: _judge(name, course, entries, taken[name]) for name in ROUTES}
    fired = sum(1 for each in entries if each.fired)
    ended = sum(1 for each in entries if each.ended)
    longest_s = max(each.longest_s for each in judged.values())
    claims = {
        "all ended": fired == ended and fired > 0,
        "0 lost": not any(each.lost for each in judged.values()),
        "order kept": not any(each.misplaced for each in judged.values()),
        "at most one duplicate per kill": all(j.doubled_at_once <= 1 for j in judged.values()),
        f"within {DELIVERED_GOAL_S:g} s": max(longest_s, drained_s) <= DELIVERED_GOAL_S,
        "none given up": not any(entry.dead for entry in entries),
    }
    told = "; ".join(
        f"{name}: {len(taken[name])} taken, {len(each.lost)} lost, {each.doubled} doubled "
        f"(at most {each.doubled_at_once} by one kill), {len(each.misplaced)} out of order"
        for name, each in judged.items()
    )
    measured = (
        f"{len(course.kills)} kills, {fired} incidents fired, {ended} ended; {told}; "
        f"{longest_s:.1f} s at most from a receiver's return, all told {drained_s:.1f} s after "
        "the last"
    )
    broken = [claim for claim, holds in claims.items() if not holds]
    found = [text for each in judged.values() for text in (*each.lost, *each.misplaced)]
    return Outcome(measured, not broken, "; ".join([*broken, *found[:5]]))


def _judge(
    name: str, course: Course, entries: Sequence[Entry], arrivals: Sequence[Arrival]
) -> Judged:
    firsts: dict[tuple[str, str], Arrival] = {}
    again: list[Arrival] = []
    for each in arrivals:
        key = each.told.incident, each.told.event
        if firsts.setdefault(key, each) is not each:
            again.append(each)
    return Judged(
        lost=_lost(name, entries, firsts),
        misplaced=_misplaced(arrivals),
        doubled=len(again),
        doubled_at_once=_most_of_a_kill(course.kills, again),
        longest_s=_longest_s(name, course, entries, firsts),
    )


def _lost(
    name: str, entries: Sequence[Entry], firsts: dict[tuple[str, str], Arrival]
) -> Sequence[str]:
    owed = [(entry, "trigger") for entry in entries if entry.fired]
    owed += [(entry, "resolve") for entry in entries if entry.ended]
    return [
        f"{name} never heard the {event} of {entry.incident}"
        for entry, event in owed
        if (entry.incident, event) not in firsts
    ]


def _misplaced(arrivals: Sequence[Arrival]) -> Sequence[str]:
    """Nothing of an incident may come after its end, nor its end before its beginning."""
    begun: set[str] = set()
    over: set[str] = set()
    wrong = []
    for each in arrivals:
        incident, event = each.told.incident, each.told.event
        if (event == "resolve" and incident not in begun) or (
            event != "resolve" and incident in over
        ):
            wrong.append(f"{event} of {incident} at the wrong time")
        (over if event == "resolve" else begun).add(incident)
    return wrong


def _most_of_a_kill(deaths: Sequence[float], again: Sequence[Arrival]) -> int:
    """How many duplicates followed one death at most, before the next."""
    ends = [*deaths[1:], float("inf")]
    between = [
        sum(1 for each in again if death <= each.wall < end)
        for death, end in zip(deaths, ends, strict=True)
    ]
    early = sum(1 for each in again if each.wall < deaths[0])
    return max((*between, early * 2), default=0)


def _longest_s(
    name: str,
    course: Course,
    entries: Sequence[Entry],
    firsts: dict[tuple[str, str], Arrival],
) -> float:
    """The longest from when a message could be taken to when it was."""
    made_at = {
        (entry.incident, event): at
        for entry in entries
        for (route, event), at in entry.made_at.items()
        if route == name
    }
    waits = [
        each.wall - max(made_at[key], course.returned_before(name, each.wall))
        for key, each in firsts.items()
        if key in made_at
    ]
    return max(waits, default=0.0)


ROWS = (
    Row(
        "page-kills",
        "The daemon is killed at any moment, receivers are down, slow, wrong: pages arrive",
        "0 lost, ≤ 1 duplicate with the same key per kill, in order, ≤ 60 s after return",
        kills,
        alone=True,
    ),
)
