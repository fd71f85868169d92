"""Owns the rows on drills: production untouched, every seeded fault found, clean runs measured.

Each row has a production of its own. Faults are put into backups, WAL and restored copies by hand,
signed anew where a careless tool would have signed them, too.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from proofs.backup.drillyard import CLUSTER, SHOP, Yard, asked, yard
from proofs.rig import scratch_cluster
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.backup.drill import logical
from shippyard.backup.drill.model import Drill
from shippyard.backup.manifest import Extension, Manifest
from shippyard.backup.model import Backup, Kind
from shippyard.backup.restore.logical import Restored, restore_dump
from shippyard.backup.wal.names import is_segment
from shippyard.host.clock import SystemClock
from shippyard.host.files import sha256_of
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import Tools
from shippyard.sandbox.model import Sandbox, SandboxHost, Started

CLOSE_S = 1.0
FORECAST_RATIO = 0.25
CANARY_S = 0.25
SEGMENT_BYTES = 16 << 20
FIRST_RECORD = 61
"""In a segment, below its header: what follows the last record is never read."""
REPEATS = 3
"""Drills of one size; the machine's other work shifts a single one."""
BOTH: tuple[Kind, Kind] = ("base", "dump")
GOODS = (
    "CREATE TABLE goods AS SELECT n AS id, md5(n::text) AS name, n % 97 AS shelf"
    " FROM generate_series(1, 20000) n"
)
FILL = (
    GOODS,
    "ALTER TABLE goods ADD PRIMARY KEY (id)",
    "CREATE INDEX ON goods (shelf)",
    "CREATE TABLE alembic_version (version_num text PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0007')",
    "CREATE ROLE seller LOGIN",
    "GRANT SELECT, INSERT ON goods TO seller",
    "CREATE EXTENSION pg_trgm",
)


def tablespaces(context: Context) -> Outcome:
    """Drill a subscriber with two tablespaces, and look at every file and slot it has."""
    trials = context.count(full=20, quick=2)
    with _publisher(context.folder) as publisher, _subscriber(context.folder, publisher) as y:
        before, slots = _files_of(y), _slots(publisher)
        problems = []
        for number in range(trials):
            kind = BOTH[number % 3 == 2]
            drill = y.drill(kind)
            if drill.outcome != "passed":
                problems.append(f"{kind}: {drill.error}")
        problems += _changes(before, _files_of(y))
        if _slots(publisher) != slots:
            problems.append("the publisher's slots changed")
        problems += _still_replicates(y, publisher)
        problems += _late_tablespace(y, context.folder)
    measured = f"{trials} drills, {len(before)} files compared, {len(problems)} problems"
    return Outcome(measured, ok=not problems, note="; ".join(problems[:5]))


@contextlib.contextmanager
def _publisher(folder: Path) -> Iterator[EmbeddedCluster]:
    processes = Processes()
    with scratch_cluster(folder / "publisher", processes) as cluster:
        info = cluster.target().conninfo()
        asked(info, "ALTER SYSTEM SET wal_level = 'logical'")
        cluster.stop()
        cluster.start()
        asked(
            info,
            "CREATE TABLE feed (id int PRIMARY KEY)",
            "INSERT INTO feed SELECT generate_series(1, 1000)",
            "CREATE PUBLICATION news FOR TABLE feed",
        )
        yield cluster
        processes.end_all()


@contextlib.contextmanager
def _subscriber(folder: Path, publisher: EmbeddedCluster) -> Iterator[Yard]:
    """Production: two tablespaces, a subscription, all backups taken, then left alone."""
    with yard(folder, production={"autovacuum": "off"}) as y, y.receiving():
        for name in ("fast", "slow"):
            _new_tablespace(y, folder, name)
        y.run(
            *FILL,
            "ALTER TABLE goods SET TABLESPACE fast",
            "CREATE TABLE archive TABLESPACE slow AS SELECT * FROM goods",
            "CREATE TABLE feed (id int PRIMARY KEY)",
            f"CREATE SUBSCRIPTION morning CONNECTION 'host={publisher.socket_dir} user=postgres"
            " dbname=postgres' PUBLICATION news",
        )
        until(lambda: y.run("SELECT count(*) FROM feed") == [(1000,)], 30, "the first copy")
        y.canary.write()
        y.back_up("dump")
        y.back_up("base")
        asked(publisher.target().conninfo(), "INSERT INTO feed SELECT generate_series(1001, 2000)")
        until(lambda: y.run("SELECT count(*) FROM feed") == [(2000,)], 30, "the changes")
        y.run("VACUUM FREEZE", "CHECKPOINT")
        y.canary.write()
        y.wait_received()
        yield y


def _new_tablespace(y: Yard, folder: Path, name: str) -> None:
    place = folder / name
    place.mkdir(mode=0o700)
    with contextlib.suppress(LookupError, PermissionError):
        shutil.chown(place, "postgres")
    y.run(f"CREATE TABLESPACE {name} LOCATION '{place}'")


def _files_of(y: Yard) -> dict[str, str]:
    """Hashes of everything in the tablespaces, and of users' relations and settings in the rest."""
    y.run("CHECKPOINT")
    root = y.production.data_dir
    places = [p for link in (root / "pg_tblspc").iterdir() for p in link.resolve().rglob("*")]
    own = [p for p in (root / "base").rglob("*") if p.name.split("_")[0].isdigit()]
    users = [p for p in own if int(p.name.split("_")[0].split(".")[0]) >= 16384]
    settings = [*root.glob("*.conf")]
    canary = str(y.run("SELECT pg_relation_filepath('shippyard.canary')")[0][0])
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*places, *users, *settings]
        if path.is_file() and not str(path).endswith(canary)
    }


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return [f"{name} changed" for name in names]


def _slots(publisher: EmbeddedCluster) -> list[tuple[Any, ...]]:
    """The slot, who uses it, and how far it is."""
    question = "SELECT slot_name, active, active_pid FROM pg_replication_slots ORDER BY 1"
    return asked(publisher.target().conninfo(), question)


def _still_replicates(y: Yard, publisher: EmbeddedCluster) -> list[str]:
    """What a copy had taken from the slot would be missing here."""
    asked(publisher.target().conninfo(), "INSERT INTO feed SELECT generate_series(2001, 3000)")
    try:
        until(lambda: y.run("SELECT count(*) FROM feed") == [(3000,)], 30, "the feed")
    except AssertionError:
        return [f"{y.run('SELECT count(*) FROM feed')} of 3000 rows came after the drills"]
    return []


def _late_tablespace(y: Yard, folder: Path) -> list[str]:
    """A tablespace made after the backup is replayed by WAL, at production's own place."""
    _new_tablespace(y, folder, "late")
    y.run("CREATE TABLE fresh TABLESPACE late AS SELECT * FROM goods")
    y.wait_received()
    before = _files_of(y)
    drill = y.drill("base")
    problems = _changes(before, _files_of(y))
    if drill.outcome != "failed" or "tablespace" not in (drill.error or ""):
        problems.append(f"a late tablespace: {drill.outcome}, {drill.error}")
    y.back_up("base")
    if (after := y.drill("base")).outcome != "passed":
        problems.append(f"after another backup: {after.error}")
    return problems


@dataclass(frozen=True)
class Fault:
    """Something wrong, and a word that the drill's verdict must have."""

    name: str
    kind: Kind
    word: str
    seed: Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]


def drill_faults(context: Context) -> Outcome:
    """Seed each fault by itself, on fresh backups; a drill must fail and say so."""
    faults = FAULTS if not context.quick else FAULTS[:: max(1, len(FAULTS) // 6)]
    missed: list[str] = []
    with yard(context.folder, dump_schedule="0 * * * *", timeout_s=1800) as y, y.receiving():
        y.run(*FILL)
        for fault in faults:
            y.canary.write()
            backup = y.back_up(fault.kind)
            y.run("SELECT pg_switch_wal()", "UPDATE goods SET shelf = 1 WHERE id = 1")
            y.run("SELECT pg_switch_wal()", "UPDATE goods SET shelf = 2 WHERE id = 1")
            y.canary.write()
            y.wait_received()
            drill = _with(fault, y, backup)
            context.say(f"{fault.name}: {drill.outcome}: {drill.error}")
            if drill.outcome != "failed" or fault.word not in (drill.error or ""):
                missed.append(f"{fault.name}: {drill.outcome} ({drill.error})")
            _tidy(y)
        for kind in BOTH:
            y.back_up(kind)
            y.canary.write()
            y.wait_received()
            if (clean := y.drill(kind)).outcome != "passed":
                missed.append(f"without a fault: {clean.error}")
    found = len(faults) - len([each for each in missed if "without a fault" not in each])
    return Outcome(f"{found} of {len(faults)} found", ok=not missed, note="; ".join(missed[:4]))


def _with(fault: Fault, y: Yard, backup: Backup) -> Drill:
    with fault.seed(y, backup) as parts:
        drills = y.build_drills(**parts)
        return drills.run(backup.database, backup.kind)


def _tidy(y: Yard) -> None:
    """Begin the next fault with an archive and backups that are whole."""
    for subject in (SHOP, CLUSTER):
        for backup in y.service.history(subject):
            y.layout.remove(subject, backup.id)
    y.service.recover()


def _biggest(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def _flip_in(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    path.write_bytes(data)


@contextlib.contextmanager
def _flipped(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    _flip_in(_biggest(y.files(backup)))
    yield {}


@contextlib.contextmanager
def _cut(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    path = _biggest(y.files(backup))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    yield {}


@contextlib.contextmanager
def _gone(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    _biggest(y.files(backup)).unlink()
    yield {}


@contextlib.contextmanager
def _forged(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    path = y.files(backup) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"tool_version"', b'"tool_versiom"', 1))
    yield {}


def _resigned(
    change: Callable[[Manifest], Manifest],
) -> Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]:
    """The manifest says something else, and is signed by us."""

    @contextlib.contextmanager
    def seed(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
        _resign(y, backup, change)
        yield {}

    return seed


def _resign(y: Yard, backup: Backup, change: Callable[[Manifest], Manifest]) -> None:
    seal = y.seal
    folder = y.files(backup)
    seal.write(folder, change(seal.read(folder)))


@contextlib.contextmanager
def _another_row(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """The artifact is of a database that differs in one row; everything else fits."""
    y.run("UPDATE goods SET name = 'changed' WHERE id = 4711")
    other = y.back_up("dump")
    y.run("UPDATE goods SET name = md5(id::text) WHERE id = 4711")
    was = y.seal.read(y.files(backup))
    _resign(
        y,
        other,
        lambda manifest: dataclasses.replace(manifest, content=was.content),
    )
    yield {}


@contextlib.contextmanager
def _role_not_in_globals(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """The backup's own roles lack one that owns nothing and may do something."""
    path = next(p for p in y.files(backup).iterdir() if p.name.startswith("globals"))
    kept = [line for line in path.read_text().splitlines(keepends=True) if "seller" not in line]
    path.write_text("".join(kept))

    def change(manifest: Manifest) -> Manifest:
        files = tuple(
            dataclasses.replace(f, size_bytes=path.stat().st_size, sha256=sha256_of(path))
            if f.name == path.name
            else f
            for f in manifest.files
        )
        return dataclasses.replace(manifest, files=files)

    _resign(y, backup, change)
    yield {}


def _one_more_extension(manifest: Manifest) -> Manifest:
    around = manifest.environment
    assert around is not None
    more = (*around.extensions, Extension("hstore", "1.8"))
    return dataclasses.replace(manifest, environment=dataclasses.replace(around, extensions=more))


def _other_revision(manifest: Manifest) -> Manifest:
    source = dataclasses.replace(manifest.source, alembic_revision="0008")
    return dataclasses.replace(manifest, source=source)


@contextlib.contextmanager
def _changed_after(*statements: str) -> Iterator[None]:
    """What was restored is changed before it is compared."""

    def restore(*args: Any, **how: Any) -> Restored:
        done = restore_dump(*args, **how)
        asked(args[2].conninfo(), *statements)
        return done

    with mock.patch.object(logical, restore_dump.__name__, restore):
        yield


def _in_sandbox(
    *statements: str,
) -> Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]:
    @contextlib.contextmanager
    def seed(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
        if backup.kind == "base":
            yield {"host": Meddling(y.host, lambda sandbox: _say_to(sandbox, statements))}
            return
        with _changed_after(*statements):
            yield {}

    return seed


def _say_to(sandbox: Sandbox, statements: tuple[str, ...]) -> None:
    for statement in statements:
        asked(sandbox.target(SHOP).conninfo(), statement)


class Later(SystemClock):
    """Three days on: nothing came since."""

    def now(self) -> datetime:
        """The machine's time, and three days."""
        return super().now() + timedelta(days=3)


@contextlib.contextmanager
def _days_later(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:  # noqa: ARG001  as the others
    yield {"clock": Later()}


@contextlib.contextmanager
def _hole(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """A segment that the backup needs, and that has later ones, is gone."""
    victim = _first_after(y, backup)
    kept = victim.read_bytes()
    victim.unlink()
    yield {}
    victim.write_bytes(kept)


@contextlib.contextmanager
def _flipped_wal(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    victim = _first_after(y, backup)
    kept = victim.read_bytes()
    _flip_in(victim, FIRST_RECORD)
    yield {}
    victim.write_bytes(kept)


def _first_after(y: Yard, backup: Backup) -> Path:
    """The file of the first segment that did not come with the backup."""
    manifest = y.seal.read(y.files(backup))
    high, low = (int(part, 16) for part in str(manifest.source.lsn_at_end).split("/"))
    first = -(-(high << 32 | low) // SEGMENT_BYTES)
    wanted = f"{manifest.source.timeline:08X}{first // 256:08X}{first % 256:08X}"
    later = sorted(n for n in y.wal.segments() if is_segment(n) and n >= wanted)
    stored = y.wal.path(later[0])
    return stored if stored.is_file() else y.wal.receiving / later[0]


@contextlib.contextmanager
def _other_timeline(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
    """Somebody promoted a copy, and its WAL came to our archive."""
    end = y.seal.read(y.files(backup)).source.lsn_at_end
    history = y.folder / "00000002.history"
    history.write_text(f"1\t{end}\tno recovery target specified\n")
    y.wal.put(history, y.clock.now())
    yield {}
    y.wal.remove([history.name])


def _scribbled(y: Yard, backup: Backup) -> AbstractContextManager[dict[str, Any]]:  # noqa: ARG001  as the others
    """A page of an index is damaged on the disk of what was restored."""
    path = str(y.run("SELECT pg_relation_filepath('goods_shelf_idx')")[0][0])

    def scribble(sandbox: Sandbox) -> None:
        file = sandbox.data_dir / path
        with file.open("r+b") as opened:
            opened.seek(8192 + 4000)
            opened.write(b"\xff" * 64)

    return contextlib.nullcontext({"host": Meddling(y.host, scribble, flushed=True)})


class Meddling:
    """A host of sandboxes in which something is changed as soon as they have come up."""

    def __init__(
        self, host: SandboxHost, meddle: Callable[[Sandbox], None], *, flushed: bool = False
    ) -> None:
        self._host = host
        self._meddle = meddle
        self._flushed = flushed

    @contextlib.contextmanager
    def open(self, name: str, tools: Tools) -> Iterator[Sandbox]:
        """A sandbox whose start is followed by what is meddled."""
        with self._host.open(name, tools) as sandbox:
            plain = sandbox.start

            def start(**how: Any) -> Started:
                started = plain(**how)
                if self._flushed:
                    sandbox.stop()
                self._meddle(sandbox)
                if self._flushed:
                    plain(settings=how.get("settings"))
                return started

            with mock.patch.object(sandbox, "start", start):
                yield sandbox

    def sweep(self) -> list[str]:
        """Nothing to sweep."""
        return self._host.sweep()


FAULTS: tuple[Fault, ...] = (
    Fault("dump: bit flip", "dump", "differs from its manifest", _flipped),
    Fault("dump: cut in half", "dump", "differs from its manifest", _cut),
    Fault("dump: file gone", "dump", "No such file", _gone),
    Fault("dump: manifest forged", "dump", "manifest", _forged),
    Fault("dump: a row differs in the artifact", "dump", "content differs", _another_row),
    Fault(
        "dump: a row changed after the restore",
        "dump",
        "content differs",
        _in_sandbox("UPDATE goods SET shelf = shelf + 1 WHERE id = 12345"),
    ),
    Fault(
        "dump: a row missing after the restore",
        "dump",
        "19999 rows",
        _in_sandbox("DELETE FROM goods WHERE id = 12345"),
    ),
    Fault("dump: role missing", "dump", "seller", _role_not_in_globals),
    Fault("dump: extension missing", "dump", "hstore", _resigned(_one_more_extension)),
    Fault("dump: another revision", "dump", "revision", _resigned(_other_revision)),
    Fault("dump: stale", "dump", "was due", _days_later),
    Fault("schema: bit flip", "schema", "differs from its manifest", _flipped),
    Fault("base: bit flip", "base", "damaged", _flipped),
    Fault("base: cut in half", "base", "", _cut),
    Fault("base: WAL gap", "base", "missing", _hole),
    Fault("base: WAL bit flip", "base", "", _flipped_wal),
    Fault("base: wrong timeline", "base", "timeline", _other_timeline),
    Fault("base: stale", "base", "canary", _days_later),
    Fault(
        "base: role missing",
        "base",
        "seller",
        _in_sandbox("REVOKE ALL ON goods FROM seller", "DROP ROLE seller"),
    ),
    Fault("base: extension missing", "base", "pg_trgm", _in_sandbox("DROP EXTENSION pg_trgm")),
    Fault("base: index damaged", "base", "", _scribbled),
)


def drill_clean(context: Context) -> Outcome:
    """Drill again and again without a fault, beside a stopwatch; then forecast other sizes."""
    runs = context.count(full=100, quick=3)
    problems: list[str] = []
    with yard(context.folder) as y, y.receiving(), _beating(y):
        y.run(*FILL)
        kinds: tuple[Kind, ...] = ("dump", "schema", "base")
        for kind in kinds:
            y.back_up(kind)
        offs = [_timed(y, kinds[number % 3], problems) for number in range(runs)]
        late = [] if context.quick else _forecasts(y, context)
    rto_off, rpo_off = max(rto for rto, _ in offs), max(rpo for _, rpo in offs)
    if late and max(late) > FORECAST_RATIO:
        problems.append(f"a forecast was off by {max(late):.0%}")
    if rto_off > CLOSE_S or rpo_off > CLOSE_S:
        problems.append("the exported times are not those of the stopwatch")
    said = ""
    if late:
        said = f", forecasts off by {statistics.median(late):.0%}, at most {max(late):.0%}"
    measured = (
        f"{runs - len([p for p in problems if 'drill' in p])} of {runs} passed; RTO off by "
        f"{rto_off:.2f} s at most, RPO by {rpo_off:.2f} s{said}"
    )
    return Outcome(measured, ok=not problems, note="; ".join(problems[:4]))


@contextlib.contextmanager
def _beating(y: Yard) -> Iterator[None]:
    """The canary and a witness beside it, written often; both know only the clock."""
    y.run("CREATE TABLE witness (at timestamptz)")
    y.canary.write()
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(CANARY_S):
            y.canary.write()
            y.run("INSERT INTO witness VALUES (clock_timestamp())")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _timed(y: Yard, kind: Kind, problems: list[str]) -> tuple[float, float]:
    """One drill; how far what is exported of it is from an outside stopwatch: time and loss."""
    ready: list[float] = []
    newest: list[datetime] = []

    def progress(fields: Any) -> None:
        if fields["phase"] == "check" and not ready:
            ready.append(time.monotonic())

    def look(sandbox: Sandbox) -> None:
        rows = asked(sandbox.target(SHOP).conninfo(), "SELECT max(at) FROM witness")
        newest.append(rows[0][0])

    drills = y.build_drills(host=Meddling(y.host, look)) if kind == "base" else y.drills
    begun, wall = time.monotonic(), y.clock.now()
    drill = drills.run(CLUSTER if kind == "base" else SHOP, kind, progress=progress)
    if drill.outcome != "passed":
        problems.append(f"drill of {kind}: {drill.error}")
        return 0.0, 0.0
    labels = {"database": drill.database, "kind": kind}
    rto = _exported(y, "rto_seconds", {**labels, "phase": "total"})
    rpo = _exported(y, "rpo_seconds", {**labels, "loss": "cluster"})
    until_ = newest[0] if newest else y.service.find(drill.backup_id).started_at
    lost = (wall - until_).total_seconds()
    return abs(rto - (ready[0] - begun)), abs(rpo - max(0.0, lost))


def _exported(y: Yard, name: str, labels: dict[str, str]) -> float:
    value = y.metrics.registry.get_sample_value(f"shippyard_backup_drill_{name}", labels)
    assert value is not None, f"{name} is not exported"
    return value


def _took(y: Yard, kind: Kind) -> float:
    drill = y.drill(kind)
    assert drill.rto_s, f"{drill.backup_id}: {drill.error}"
    return drill.rto_s


def _forecasts(y: Yard, context: Context) -> list[float]:
    """Grow the database; each size is forecast from the smaller ones before it is drilled."""
    off: list[float] = []
    for step, rows in enumerate((150_000, 300_000, 600_000, 900_000)):
        y.run(
            "TRUNCATE goods",
            "INSERT INTO goods SELECT n, md5(n::text) || md5((n + 1)::text), n % 97"
            f" FROM generate_series(1, {rows}) n",
            "CHECKPOINT",
        )
        for kind in BOTH:
            backup = y.back_up(kind)
            y.wait_received()
            wal_bytes = SEGMENT_BYTES
            told = y.drills.forecast(
                backup.database, backup.kind, backup.size_bytes or 0, wal_bytes
            )
            assert told, "nothing is forecast"
            took = statistics.median(_took(y, backup.kind) for _ in range(REPEATS))
            context.say(f"{kind} of {rows} rows: forecast {told:.2f} s, took {took:.2f} s")
            if step >= 2:  # two sizes make a line
                off.append(abs(told - took) / took)
    return off


ROWS: tuple[Row, ...] = (
    Row(
        "tablespaces",
        "Drills leave production's files and slots alone",
        "two tablespaces and a subscription unchanged after 20 drills",
        tablespaces,
    ),
    Row(
        "drill-faults",
        "A drill fails on every seeded fault",
        f"{len(FAULTS)} of {len(FAULTS)} found, clean ones pass",
        drill_faults,
    ),
    Row(
        "drill-clean",
        "Clean drills pass, and measure what a stopwatch measures",
        "100 of 100; RTO and RPO within 1 s, forecast within 25 %",
        drill_clean,
        alone=True,
    ),
)
