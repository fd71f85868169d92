"""Proves that what pgBackRest and Barman keep comes back: drilled on schedule, restored when asked.

The parts are the daemon's own; only the repository is another engine's.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from proofs.backup.drillyard import CLUSTER, SHOP, Yard, asked, yard
from proofs.backup.engines import (
    Bench,
    Kept,
    archived_by_pgbackrest,
    flip,
    gap,
    kept_by_barman,
    kept_by_pgbackrest,
)
from proofs.table import Context, Outcome, Row
from shippyard.backup.engines.choice import repository_for
from shippyard.backup.restore.assess import Wanted
from shippyard.backup.restore.course import Means
from shippyard.backup.restore.files import IntoFolder
from shippyard.backup.restore.point import LATEST
from shippyard.backup.restore.service import Restores
from shippyard.backup.restore.shelf import FolderShelf
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import server_tools

BEFORE, AFTER = 5_000, 777
LOGIN = {"user": "postgres"}


@dataclass(frozen=True)
class Ground:
    """A production that another engine guards, and us in front of it."""

    yard: Yard
    bench: Bench
    kept: Kept


def engines_back(context: Context) -> Outcome:
    """Each engine: a drill that passes, two faults that fail one, and a restore to the latest."""
    good: list[str] = []
    bad: list[str] = []
    for build in (_pgbackrest,) if context.quick else (_pgbackrest, _barman):
        with build(context.folder / build.__name__.strip("_")) as ground:
            name = ground.kept.repository.name
            for what, held in _tried(ground, with_flip=not context.quick):
                context.say(f"{name}: {what}: {'yes' if held is None else held}")
                (good if held is None else bad).append(f"{name}: {what}")
    return Outcome("; ".join(good), not bad, "; ".join(f"NOT {each}" for each in bad))


def _tried(ground: Ground, *, with_flip: bool) -> Iterator[tuple[str, str | None]]:
    """What was tried, and what went wrong; None when nothing did."""
    y = ground.yard
    place = ground.bench.place("fast")
    y.run(
        f"CREATE TABLESPACE fast LOCATION '{place}'",
        "CREATE TABLE goods (id int PRIMARY KEY, name text) TABLESPACE fast",
        f"INSERT INTO goods SELECT n, md5(n::text) FROM generate_series(1, {BEFORE}) n",
    )
    y.canary.write()
    y.back_up("base")
    y.run(f"INSERT INTO goods SELECT -n, 'later' FROM generate_series(1, {AFTER}) n")
    y.canary.write()
    ground.bench.make_wal()
    ground.kept.settle()
    drill = y.drill("base")
    yield f"drill passed in {drill.rto_s or 0:.1f} s", drill.error
    yield "restored to the latest, every row there", _restored(ground)
    name, mend = gap(ground.kept.wal, ground.bench.folder)
    yield "a drill over a missing segment names it", _failed(y, name)
    mend()
    if not with_flip:
        return
    mend = flip(ground.kept.files)
    yield "a drill of a flipped bit fails", _failed(y, "")
    mend()
    yield "mended, a drill passes again", y.drill("base").error


def _failed(y: Yard, words: str) -> str | None:
    drill = y.drill("base")
    return None if drill.outcome == "failed" and words in (drill.error or "") else str(drill.error)


def _restored(ground: Ground) -> str | None:
    """Restore beside production, start it there, count; says what is wrong."""
    y, folder = ground.yard, ground.bench.place("back")
    ground.bench.place("back/socket")
    processes = Processes()
    shelf = FolderShelf(y.config.backup.dir, y.seal.trusted)
    means = Means(
        shelf,
        str(y.config.backup.dir),
        processes,
        y.clock,
        repository_of=lambda subject: repository_for(subject, y.config, processes),
    )
    place = IntoFolder(folder / "data", means)
    wanted = Wanted("files", place.name, subject=CLUSTER, point=LATEST)
    report = Restores(means, y.told.append).run(wanted, place, asked_by="proof")
    if not report.ok:
        return str(report)
    return _counted(folder, ground)


def _counted(folder: Path, ground: Ground) -> str | None:
    ground.yard.production.stop()
    back = EmbeddedCluster(folder, server_tools(ground.bench.processes), ground.bench.processes)
    with (folder / "data" / "postgresql.auto.conf").open("a") as file:
        file.write(f"archive_mode = off\nunix_socket_directories = '{back.socket_dir}'\n")
    try:
        back.start()
        rows = asked(back.target(SHOP).conninfo(), "SELECT count(*) FROM goods")[0][0]
    finally:
        back.destroy()
        ground.yard.production.start()
    return None if rows == BEFORE + AFTER else f"{rows} rows"


def _yard(
    folder: Path, engine: str, program: Path | None, settings: dict[str, str]
) -> AbstractContextManager[Yard]:
    folder.mkdir(mode=0o755)
    main = {
        "engine": engine,
        "stanza": "main",
        "engine_config": folder / f"{engine}.conf",
        "engine_program": str(program) if program else None,
        "canary": LOGIN,
    }
    return yard(folder, production=settings, clusters={"main": main})


def _bench(folder: Path, made: Yard) -> Bench:
    return Bench(folder, made.production, made.processes, account_for_postgres())


@contextmanager
def _pgbackrest(folder: Path) -> Iterator[Ground]:
    program = folder / ("pgbackrest-ours" if account_for_postgres() else "pgbackrest")
    with _yard(folder, "pgbackrest", program, archived_by_pgbackrest(folder)) as made:
        bench = _bench(folder, made)
        yield Ground(made, bench, kept_by_pgbackrest(bench))


@contextmanager
def _barman(folder: Path) -> Iterator[Ground]:
    with _yard(folder, "barman", None, {}) as made:
        bench = _bench(folder, made)
        with kept_by_barman(bench) as kept:
            yield Ground(made, bench, kept)


ROWS = (
    Row(
        "engine-back",
        "What pgBackRest and Barman keep is drilled and restored like our own",
        "drilled, restored with every row, a gap and a flipped bit fail a drill",
        engines_back,
    ),
)
