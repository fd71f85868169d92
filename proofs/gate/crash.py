"""Proves that a run may be killed anywhere: nothing applies after death, a resume makes it whole.

The runner itself is killed, or the daemon's process above it. Then the database is looked at as a
person would: what it says it is, and what it is.
"""

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from proofs.gate.course import (
    Change,
    Yard,
    beside,
    execute,
    policy,
    run_of,
    write_tree,
    yard,
)
from proofs.program import Program
from proofs.table import Context, Outcome, Row
from proofs.waiting import Late, until
from shippyard.config.migration import Migration
from shippyard.migration.leftovers import built_by, look_for, sweep, sweep_of
from shippyard.migration.planner import Prepared
from shippyard.migration.recovery import Found, recover
from shippyard.migration.version_table import read_invalid_indexes
from shippyard.postgres.schema_objects import differences
from shippyard.postgres.session import session

TOGETHER = 5
GONE_S = 2.0
"""Nothing may apply later than this after a death."""
SETTLE_S = 0.8
PARCELS = 4000

SETUP = f"""
CREATE TABLE parcels (id int PRIMARY KEY, weight int NOT NULL, town text, tier text);
CREATE TABLE towns (id int PRIMARY KEY, name text);
INSERT INTO parcels SELECT n, n % 90, 'town ' || n % 50 FROM generate_series(1, {PARCELS}) AS n;
INSERT INTO towns SELECT n, 'town ' || n FROM generate_series(0, 49) AS n;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('001');
"""

PLAIN_BUILD = """\
with op.get_context().autocommit_block():
    op.create_index("parcels_town", "parcels", ["town"], postgresql_concurrently=True)"""
STEP_BUILD = 'ops.create_index_concurrently("parcels_weight", "parcels", ["weight"])'
STEP_DROP = 'ops.drop_index_concurrently("parcels_weight")'
FILL = """\
ops.backfill("tiers", "parcels", {"tier": "'t' || mod(weight, 3)"}, where="tier IS NULL",
    target_ms=20)"""

CHANGES = {
    "001": Change("op.execute('SELECT 1')"),
    "002": Change(
        execute(
            "ALTER TABLE parcels ADD COLUMN color text NOT NULL DEFAULT 'brown'",
            "CREATE TABLE labels (id int PRIMARY KEY, parcel_id int REFERENCES parcels)",
            "ALTER TABLE parcels ADD CONSTRAINT light CHECK (weight < 100) NOT VALID",
        )
    ),
    "003": Change(STEP_BUILD, STEP_DROP),
    "004": Change(PLAIN_BUILD),
    "005": Change(FILL, 'ops.forget_backfill("tiers")'),
    "006": Change(
        execute(
            "ALTER TABLE parcels VALIDATE CONSTRAINT light",
            "ALTER TABLE parcels ALTER COLUMN color DROP DEFAULT",
            "ALTER TABLE towns ADD COLUMN parcels int NOT NULL DEFAULT 0",
            "UPDATE towns AS t SET parcels ="
            " (SELECT count(*) FROM parcels AS p WHERE p.town = t.name)",
        )
    ),
    "007": Change(STEP_DROP, STEP_BUILD),
}
HEAD = "007"
EVENTS = 22
"""About as many as a run has before its last revision is through."""


@dataclass
class Count:
    """What all trials came to."""

    kills: int = 0
    of_owner: int = 0
    sessions: int = 0
    swept: int = 0
    begun: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Kill:
    """When one is killed: so many events later, and a while. Every other one is the daemon's."""

    number: int
    at_event: int
    after_s: float

    @property
    def of_owner(self) -> bool:
        """The daemon's process, not the runner."""
        return self.number % 2 == 1

    def __str__(self) -> str:
        whom = "daemon" if self.of_owner else "runner"
        return f"{self.number}: {whom} at event {self.at_event} + {self.after_s:.2f} s"


@dataclass(frozen=True)
class Stage:
    """What every trial has: the yard, the tree, and how the schema is at each revision."""

    yard: Yard
    policy: Migration
    reference: dict[str, dict[str, str]]
    folder: Path


def crash(context: Context) -> Outcome:
    """`kill -9` at random points, each time a look, a recovery and a resume."""
    trials = context.count(full=100, quick=8)
    chance = random.Random(20260305)  # the same points each time
    kills = [Kill(n, chance.randrange(1, EVENTS), chance.uniform(0, 0.3)) for n in range(trials)]
    count = Count()
    ini = write_tree(context.folder / "tree", CHANGES)
    with yard(context.folder, SETUP) as made:
        # as patient as may be: the longer it queues, the more is left to be applied by the dead
        stage = Stage(
            made, policy(ini, lock_timeout_ms=3000), _reference(made, policy(ini)), context.folder
        )
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(lambda kill: _trial(stage, count, kill), kills))
    measured = (
        f"{trials} trials, {count.kills} kills ({count.of_owner} of the daemon's process) in "
        f"{len(count.begun)} kinds of revision: 0 DDL later than {GONE_S:g} s, {count.sessions} "
        f"sessions ended by us, {count.swept} indexes swept, 0 INVALID after resume"
    )
    problems = count.problems
    ok = not problems and count.kills >= trials * 0.8
    return Outcome(
        measured if not problems else f"{len(problems)} problems", ok, "; ".join(problems[:5])
    )


def _reference(made: Yard, go: Migration) -> dict[str, dict[str, str]]:
    target = made.copy("reference")
    prepared = made.planner.prepare("reference", target, go, HEAD)
    found = {"001": made.objects("reference")}
    for revision in made.apply("reference", prepared):
        found[revision] = made.objects("reference")
    return found


def _trial(stage: Stage, count: Count, kill: Kill) -> None:
    name = f"crash_{kill.number}"
    try:
        said = _one(stage, count, kill, name)
    except (Late, AssertionError, psycopg.Error, OSError) as error:
        said = [f"{type(error).__name__}: {error}"]
    with count.lock:
        count.problems += [f"{kill}: {each}" for each in said]
    with contextlib.suppress(psycopg.Error):
        stage.yard.drop(name)


def _one(stage: Stage, count: Count, kill: Kill, name: str) -> list[str]:
    made, target = stage.yard, stage.yard.copy(name)
    prepared = made.planner.prepare(name, target, stage.policy, HEAD)
    run_id = f"20260305T000000Z-{name}"
    with beside(_busy, target):
        events, killed = _run_and_kill(stage, prepared, run_id, kill)
        time.sleep(GONE_S)  # what is not gone now must not apply any more
        at_gone = made.objects(name), made.ask("SELECT * FROM alembic_version", name)
    time.sleep(SETTLE_S)
    run = run_of(run_id, prepared, events)
    problems = []
    if (made.objects(name), made.ask("SELECT * FROM alembic_version", name)) != at_gone:
        problems.append("something was applied after death")
    found = recover(run, target, plan=prepared.plan)
    problems += _as_said(stage, name, found)
    again = made.planner.prepare_again(name, target, stage.policy, run)
    problems += _resumed(stage, again, run_id, count)
    with count.lock:
        count.kills += killed
        count.of_owner += killed and kill.of_owner
        count.sessions += len(found.ended)
        count.begun |= {found.begun} if found.begun else set()
    return problems


def _run_and_kill(
    stage: Stage, prepared: Prepared, run_id: str, kill: Kill
) -> tuple[list[dict[str, Any]], bool]:
    """The events until death, and whether there was somebody to kill."""
    folder = stage.folder / run_id
    folder.mkdir()
    spec = folder / "spec.json"
    spec.write_bytes(prepared.run_spec(run_id).to_json())
    owner = Program([sys.executable, "-m", "proofs.gate.crash_owner", str(spec)], folder, "owner")
    try:
        until(lambda: len(_lines(owner)) >= kill.at_event or not owner.running, 90, "its events")
        time.sleep(kill.after_s)
        children = owner.children()
        for pid in [owner.pid] if kill.of_owner else children[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(_lives, children)), 5, "the runner's death")
        killed = bool(children)
    finally:
        owner.end()
    events = [each for each in _lines(owner) if each["event"] != "ending"]
    return events, killed and not any(each["event"] == "done" for each in events)


def _as_said(stage: Stage, name: str, found: Found) -> list[str]:
    """Whether the database is what it says that it is, but for one revision's own commits."""
    problems = [f"still there: {each}" for each in found.still_there]
    at = found.at or "001"
    now = stage.yard.objects(name)
    following = stage.reference.get(f"{int(at) + 1:03d}", stage.reference[at])
    may_differ = {each.name for each in differences(stage.reference[at], following)}
    odd = [e for e in differences(stage.reference[at], now) if e.name not in may_differ]
    problems += [f"at {at}, yet {each}" for each in odd]
    partly = [each for each in differences(stage.reference[at], now) if each.name in may_differ]
    if partly and found.half_applied is False:
        problems.append(f"{found.begun} was said to be rolled back whole: {partly[0]}")
    return problems


def _resumed(stage: Stage, again: Prepared, run_id: str, count: Count) -> list[str]:
    made, name, target = stage.yard, again.plan.database, again.target
    built = built_by(again.plan, [step.revision for step in again.rest], again.tree.files)
    todo = sweep_of(look_for(target, built), built)
    sweep(target, todo.drop)
    with count.lock:
        count.swept += len(todo.drop)
    with beside(_busy, target):
        ending = made.supervisor.run(again.run_spec(f"{run_id}-r"), 120.0, lambda _: None)
    if ending.outcome != "applied":
        return [f"resume: {ending.outcome}: {ending.message}"]
    with session(target, "proof") as opened:
        problems = [f"INVALID: {each}" for each in read_invalid_indexes(opened.query)]
    odd = differences(stage.reference[HEAD], made.objects(name))
    problems += [f"after resume: {each}" for each in odd]
    unfilled = made.ask("SELECT count(*) FROM parcels WHERE tier IS NULL", name)[0][0]
    return problems + ([f"{unfilled} rows not filled"] if unfilled else [])


def _busy(connection: psycopg.Connection[Any], turn: int) -> None:
    """Holds what the run needs for a while, and lets go of it."""
    connection.execute(
        "SELECT count(*) FROM parcels, towns WHERE parcels.id = %s", [turn % PARCELS]
    )
    time.sleep(0.02 + (turn * 37 % 10) / 20)


def _lines(owner: Program) -> list[dict[str, Any]]:
    found = []
    for line in owner.out.read_text().splitlines():
        with contextlib.suppress(ValueError):  # the last one may be cut off
            found.append(json.loads(line))
    return found


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


ROWS: tuple[Row, ...] = (
    Row(
        "crash",
        "A run that is killed anywhere leaves nothing that acts, and resume makes it whole",
        f"no DDL > {GONE_S:g} s after death, 0 INVALID after resume, version true to the schema",
        crash,
    ),
)
