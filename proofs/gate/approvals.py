"""Proves what an approval is of, who can't give one, and that a meddled audit is told.

A thousand changes of what is bound each void it, a thousand of what is not leave it; words are said
through the control socket by real users; the audit's file is changed as one would who may write it.
"""

import json
import random
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from proofs.gate import meddling, refusing
from proofs.gate.approved_world import BEGUN, REVISION, Approved, World, touch, world_in
from proofs.table import Context, Outcome, Row
from shippyard.migration.facts import ServerFacts
from shippyard.migration.identity import BINDS_NOT
from shippyard.migration.rehearsal.report import UNBOUND, Recorded, Report
from shippyard.state.database import open_state

CHANGES, QUICK_CHANGES = 1000, 150
SEED = 20261123

Change = Callable[[World, random.Random], World]


def approvals(context: Context) -> Outcome:
    """Each change is made alone, asked of the gate, and undone."""
    world = world_in(context.folder / "tree")
    count = context.count(full=CHANGES, quick=QUICK_CHANGES)
    with open_state(context.folder) as state:
        approved = Approved(state, world)
        approved.agree()
        if approved.verdict(world).verdict != "pass":
            return Outcome("what was approved does not pass", ok=False)
        kept = _wrong(approved, BINDING, count, expected="block")
        void = _wrong(approved, FREE, count, expected="pass")
    notes = [f"still stands after {name}: {times}" for name, times in kept.items()]
    notes += [f"void after {name}: {times}" for name, times in void.items()]
    return Outcome(
        f"{count - kept.total()} of {count} changes of what is bound void it "
        f"({len(BINDING)} kinds), {void.total()} of {count} of what is not ({len(FREE)} kinds)",
        ok=not kept and not void,
        note="; ".join(notes),
    )


def _wrong(
    approved: Approved, changes: Mapping[str, Change], count: int, *, expected: str
) -> Counter[str]:
    chance, wrong = random.Random(SEED), Counter[str]()
    for number in range(count):
        name = list(changes)[number % len(changes)]
        before = _files(approved.world)
        approved.clock.at = BEGUN
        changed = changes[name](approved.world, chance)
        if name == "the clock":
            left_s = int(approved.world.policy.approval_max_age_s) - 1
            approved.clock.at = BEGUN + timedelta(seconds=chance.randint(1, left_s))
        wrong[name] += approved.verdict(changed).verdict != expected
        _put_back(approved.world, before)
    return +wrong


def _files(world: World) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}


def _put_back(world: World, files: Mapping[str, bytes]) -> None:
    for path in world.folder.rglob("*"):
        if path.is_file() and str(path) not in files:
            path.unlink()
    for name, content in files.items():
        with open(name, "wb") as file:  # noqa: PTH123  a name as it was listed
            file.write(content)


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_lowercase, k=8))


def _file_changed(world: World, chance: random.Random) -> World:
    path = chance.choice(sorted((world.folder / "migrations").rglob("*.py")))
    path.write_text(f"{path.read_text()}# {_word(chance)}\n")
    return world


def _ini_changed(world: World, chance: random.Random) -> World:
    ini = world.folder / "alembic.ini"
    ini.write_text(f"{ini.read_text()}{_word(chance)} = 1\n")
    return world


def _file_added(world: World, chance: random.Random) -> World:
    name = f"{_word(chance)}.{chance.choice(('sql', 'csv', 'txt'))}"
    (world.folder / "migrations" / "versions" / name).write_text(_word(chance))
    return world


def _sql(world: World, chance: random.Random) -> World:
    way = chance.choice(("sql", "undo"))
    said = dict(getattr(world, way))
    number = chance.choice(sorted(said))
    said[number] += f" /* {_word(chance)} */"
    changed: dict[str, Any] = {way: said}
    return replace(world, **changed)


def _sql_swapped(world: World, chance: random.Random) -> World:
    way = chance.choice(("sql", "undo"))
    first, second = getattr(world, way).values()
    swapped: dict[str, Any] = {way: {"002": second, "003": first}}
    return replace(world, **swapped)


def _target(world: World, chance: random.Random) -> World:
    target = chance.choice(("002", _word(chance)))
    return replace(world, target=target, order=("002",), sql={"002": world.sql["002"]})


def _started_from(world: World, chance: random.Random) -> World:
    return replace(world, current=chance.choice((None, _word(chance))))


def _chain(world: World, _: random.Random) -> World:
    """The second and the third change places, in their files."""
    versions = world.folder / "migrations" / "versions"
    for number, down in (("002", "003"), ("003", "001")):
        (versions / f"{number}_step.py").write_text(REVISION.format(number=number, down=down))
    return replace(world, order=("003", "002"))


def _policy(world: World, chance: random.Random) -> World:
    bound = set(type(world.policy).model_fields) - BINDS_NOT
    known = {name: getattr(world.policy, name) for name in sorted(bound)}
    name = chance.choice([name for name, value in known.items() if _is_number(value)])
    value = known[name]
    other = not value if isinstance(value, bool) else value + 1
    return _with_policy(world, name, other)


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _staging_key(world: World, chance: random.Random) -> World:
    return _with_policy(world, "staging_keys", (_word(chance),))


def _with_policy(world: World, name: str, value: Any) -> World:
    return replace(world, policy=world.policy.model_copy(update={name: value}))


def _server(world: World, chance: random.Random) -> World:
    number = str(chance.randint(1, 2**62))
    return replace(world, look=replace(world.look, system_identifier=number))


def _version(world: World, chance: random.Random) -> World:
    return replace(world, look=replace(world.look, server_version=chance.randint(1, 10**5)))


def _schema(world: World, chance: random.Random) -> World:
    found = chance.choice((None, f"{chance.getrandbits(256):064x}"))
    return replace(world, look=replace(world.look, fingerprint=found))


def _database(world: World, chance: random.Random) -> World:
    return replace(world, database=_word(chance))


def _rehearsal(world: World, chance: random.Random) -> World:
    report = world.report
    assert report is not None
    other: dict[str, Callable[[], Any]] = {
        "backup_id": lambda: _word(chance),
        "tools": lambda: _word(chance),
        "fingerprint": lambda: _word(chance),
        "system_identifier": lambda: _word(chance),
        "outcome": lambda: "failed",
        "error": lambda: _word(chance),
        "losses": lambda: (_word(chance),),
        "slower": lambda: (_word(chance),),
        "schema_differences": lambda: (_word(chance),),
        "differs": lambda: (_word(chance),),
        "unproven": lambda: (_word(chance),),
        "size_bytes": lambda: chance.randint(1, 10**5),
        "passages": lambda: report.passages[:2],
    }
    name = chance.choice(sorted(other))
    return replace(world, report=replace(report, **{name: other[name]()}))


def _lock(world: World, chance: random.Random) -> World:
    assert world.report is not None
    first, *rest = world.report.passages
    (held,) = first.recorded.locks
    locks = (replace(held, mode=_word(chance)),)
    recorded = replace(first.recorded, locks=locks)
    passages = (replace(first, recorded=recorded), *rest)
    return replace(world, report=replace(world.report, passages=passages))


def _no_rehearsal(world: World, _: random.Random) -> World:
    return replace(world, report=None)


BINDING: Mapping[str, Change] = {
    "a revision's or env.py's text": _file_changed,
    "alembic.ini": _ini_changed,
    "a file more beside the revisions": _file_added,
    "SQL": _sql,
    "SQL of two revisions swapped": _sql_swapped,
    "the target": _target,
    "where it begins": _started_from,
    "the order": _chain,
    "policy": _policy,
    "a staging key": _staging_key,
    "the server": _server,
    "the server's version": _version,
    "the schema": _schema,
    "the database": _database,
    "the rehearsal": _rehearsal,
    "a lock that it saw": _lock,
    "no rehearsal": _no_rehearsal,
}


def _clock(world: World, _: random.Random) -> World:
    return world


def _live(world: World, chance: random.Random) -> World:
    return replace(world, live={"load": chance.random(), "lag": chance.random()})


def _server_now(world: World, chance: random.Random) -> World:
    server = ServerFacts(in_recovery=chance.random() < 0.5, invalid_indexes=(_word(chance),))
    return replace(world, look=replace(world.look, server=server))


def _mtimes(world: World, chance: random.Random) -> World:
    touch(world.folder, chance.uniform(0, 2e9))
    return world


def _keys(world: World, chance: random.Random) -> World:
    def shuffled(said: Mapping[str, Any]) -> dict[str, Any]:
        return dict(chance.sample(sorted(said.items()), len(said)))

    assert world.report is not None
    document = shuffled(json.loads(json.dumps(world.report.document())))
    report = Report.from_document(document)
    return replace(world, sql=shuffled(world.sql), undo=shuffled(world.undo), report=report)


def _place(world: World, chance: random.Random) -> World:
    name = chance.choice(("runner_socket", "squawk"))
    value = world.folder / _word(chance) if name == "runner_socket" else not world.policy.squawk
    return _with_policy(world, name, value)


def _rehearsed_again(world: World, chance: random.Random) -> World:
    """The same found at another time, as fast or slow as it was."""
    report = world.report
    assert report is not None
    at = BEGUN - timedelta(seconds=chance.randint(1, 10**5))
    new: dict[str, Any] = {"id": _word(chance), "started_at": at, "finished_at": at}
    new |= {"revision_elapsed_s": {"002": chance.random()}, "phases": {"up": chance.random()}}
    assert set(new) == UNBOUND, "every unbound field is changed"
    passages = tuple(
        replace(each, recorded=_retimed(each.recorded, chance)) for each in report.passages
    )
    return replace(world, report=replace(report, **new, passages=passages))


def _retimed(recorded: Recorded, chance: random.Random) -> Recorded:
    locks = tuple(replace(each, held_ms=chance.random()) for each in recorded.locks)
    assert "elapsed_s" in {each.name for each in fields(recorded)}
    return replace(recorded, locks=locks, elapsed_s=chance.random())


FREE: Mapping[str, Change] = {
    "the clock": _clock,
    "load and lags": _live,
    "what the server is doing": _server_now,
    "times of files": _mtimes,
    "the order of keys": _keys,
    "where things are on the machine": _place,
    "a rehearsal that found the same": _rehearsed_again,
}

ROWS = (
    Row(
        "approvals",
        "An approval is of one plan: what could matter voids it, what can't matter does not",
        f"{CHANGES} of {CHANGES} changes void it; 0 of {CHANGES} harmless ones do",
        approvals,
        alone=True,  # a state is made one at a time in a process
    ),
    Row(
        "refusals",
        "Nobody agrees with himself, root and nobody agree with nobody; other words don't count",
        "all refused, through the control socket, by real users",
        refusing.refusals,
        alone=True,  # a state is made one at a time in a process
    ),
    Row(
        "audit",
        "Whoever changes the audit's file is found out",
        "200 of 200 ways of changing it found; untouched is whole",
        meddling.audit,
        alone=True,  # a state is made one at a time in a process
    ),
)
