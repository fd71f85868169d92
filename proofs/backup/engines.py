"""Proves what we add to pgBackRest and Barman: faults that their own exit statuses pass over."""

import getpass
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from proofs.backup.other_programs import pgbackrest
from proofs.table import Context, CouldNotRun, Outcome, Row
from proofs.waiting import until
from shippyard.backup.engines.barman import Barman
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.engines.external import ExternalEngine
from shippyard.backup.engines.pgbackrest import PgBackRest
from shippyard.backup.engines.repository import Repository
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.tools import server_tools

TIMEOUT_S = 300.0
ROWS_EACH = 20_000
SWITCHES = 6
SEGMENT_CHARS = 24


@dataclass(frozen=True)
class Bench:
    """A server with an archive of another engine's, and where that keeps things."""

    folder: Path
    cluster: EmbeddedCluster
    processes: Processes
    account: str | None

    def make_wal(self) -> None:
        """Some segments, each closed."""
        with psycopg.connect(**self.cluster.target().conninfo(), autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (i int)")
            for _ in range(SWITCHES):
                connection.execute(f"INSERT INTO t SELECT generate_series(1, {ROWS_EACH})")
                connection.execute("SELECT pg_switch_wal()")

    def place(self, name: str) -> Path:
        """An empty folder that the server's account owns."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if self.account:
            shutil.chown(folder, self.account)
        return folder


Mend = Callable[[], None]


@dataclass(frozen=True)
class Kept:
    """An engine on the bench, and where it keeps WAL and files, to spoil them."""

    repository: Repository
    wal: Path
    files: Path
    settle: Callable[[], None]


def other_engines(context: Context) -> Outcome:
    """Each engine: a backup that holds, then one fault after the other, each to be named."""
    good: list[str] = []
    bad: list[str] = []
    for build in (_pgbackrest, _barman):
        folder = context.folder / build.__name__.strip("_")
        with build(folder) as (bench, kept):
            context.say(kept.repository.version())
            for what, held in _doubted(bench, kept):
                (good if held else bad).append(f"{kept.repository.name}: {what}")
    return Outcome("; ".join(good), not bad, "; ".join(f"NOT {each}" for each in bad))


def _doubted(bench: Bench, kept: Kept) -> Iterator[tuple[str, bool]]:
    """What was tried, and whether it went as it must."""
    repository = kept.repository
    engine = ExternalEngine(repository, bench.cluster.target(), incremental=False)
    record = bench.folder / "record"
    record.mkdir()
    label = engine.make(record, engine.preflight(), lambda _: None).external or ""
    bench.make_wal()
    kept.settle()

    def problems() -> list[str]:
        return engine.verify(record, ())[1]

    yield "sound backup is sound", problems() == []
    name, mend = gap(kept.wal, bench.folder)
    yield "missing segment named", any(name in problem for problem in problems())
    mend()
    mend = flip(kept.files)
    yield "flipped bit found", problems() != []
    mend()
    yield "sound again when mended", problems() == []
    data, spaces = bench.place("restored"), bench.place("spaces")
    repository.lay_out(label, data, spaces)
    yield "laid out elsewhere", (data / "PG_VERSION").exists()
    yield "unknown label refused", _refused(repository, bench)


def _refused(repository: Repository, bench: Bench) -> bool:
    try:
        repository.lay_out("20200101-000000F", bench.place("d"), bench.place("s"))
    except EngineFailed:
        return True
    return False


def gap(wal: Path, folder: Path) -> tuple[str, Mend]:
    """Take a segment away that is not the newest; gives its name, and how to put it back."""
    segments = sorted(p for p in wal.rglob("0000*") if p.is_file() and ".backup" not in p.name)
    victim = [p for p in segments if len(p.name) >= SEGMENT_CHARS][-3]
    away = folder / f"away-{victim.name}"
    victim.rename(away)

    def mend() -> None:
        away.rename(victim)

    return victim.name[:SEGMENT_CHARS], mend


def flip(files: Path) -> Mend:
    """Flip a bit in the middle of the largest file; gives how to mend it."""
    victim = max((p for p in files.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = victim.read_bytes()
    middle = len(content) // 2
    victim.write_bytes(content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])

    def mend() -> None:
        victim.write_bytes(content)

    return mend


@contextmanager
def _server(folder: Path, settings: dict[str, str]) -> Iterator[Bench]:
    folder.mkdir(mode=0o755)
    processes = Processes()
    account = account_for_postgres()
    tools = server_tools(processes)
    cluster = EmbeddedCluster(folder / "server", tools, processes, settings)
    try:
        cluster.create()
        cluster.start()
        yield Bench(folder, cluster, processes, account)
    finally:
        cluster.destroy()
        processes.end_all()


@contextmanager
def _pgbackrest(folder: Path) -> Iterator[tuple[Bench, Kept]]:
    with _server(folder, archived_by_pgbackrest(folder)) as bench:
        yield bench, kept_by_pgbackrest(bench)


def archived_by_pgbackrest(folder: Path) -> dict[str, str]:
    """Settings of a server whose WAL goes to the repository in `folder`."""
    command = f"{folder}/pgbackrest --config={folder}/pgbackrest.conf --stanza=main archive-push %p"
    return {"archive_mode": "on", "archive_command": command}


def kept_by_pgbackrest(bench: Bench) -> Kept:
    """A repository in the bench's folder, with its stanza made.

    Raises:
        CouldNotRun: pgBackRest can't be had here.
    """
    config = bench.folder / "pgbackrest.conf"
    program = pgbackrest(bench.folder)
    repo, logs, locks, spool = map(bench.place, ("repo", "logs", "locks", "spool"))
    config.write_text(
        f"[global]\nrepo1-path={repo}\nlog-path={logs}\nlock-path={locks}\n"
        f"spool-path={spool}\nstart-fast=y\nlog-level-file=off\nrepo1-retention-full=9\n"
        f"[main]\npg1-path={bench.cluster.data_dir}\n"
        f"pg1-socket-path={bench.cluster.socket_dir}\npg1-user=postgres\n"
    )
    ours = _as_the_archiver(bench.folder, program, bench.account)
    repository = PgBackRest("main", bench.processes, TIMEOUT_S, config, str(ours))
    create = [str(ours), f"--config={config}", "--stanza=main", "stanza-create"]
    bench.processes.run(create, timeout_s=TIMEOUT_S)

    def settle() -> None:
        newest = max(repository.segments())
        until(lambda: max(repository.segments()) > newest or _archived(bench), 30, "archived")

    return Kept(repository, repo / "archive", repo / "backup", settle)


def _as_the_archiver(folder: Path, program: Path, account: str | None) -> Path:
    """The program as root would have to run it: what it writes must stay archive_command's own."""
    if account is None:
        return program
    ours = folder / "pgbackrest-ours"
    drop = f"setpriv --reuid={account} --regid={account} --init-groups"
    ours.write_text(
        f'#!/bin/sh\ncase " $* " in *" restore "*|*" archive-get "*) exec {program} "$@" ;; esac\n'
        f'exec {drop} {program} "$@"\n'
    )
    ours.chmod(0o755)
    return ours


def _archived(bench: Bench) -> bool:
    """Whether the server has handed over every segment that it closed."""
    with psycopg.connect(**bench.cluster.target().conninfo()) as connection:
        row = connection.execute(
            "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777216)"
            " FROM pg_stat_archiver"
        ).fetchone()
    return bool(row and row[0])


def _streaming(bench: Bench) -> bool:
    with psycopg.connect(**bench.cluster.target().conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
    return bool(row and row[0])


@contextmanager
def _barman(folder: Path) -> Iterator[tuple[Bench, Kept]]:
    with _server(folder, {}) as bench, kept_by_barman(bench) as kept:
        yield bench, kept


@contextmanager
def kept_by_barman(bench: Bench) -> Iterator[Kept]:
    """A Barman of the bench's server, with WAL streamed to it for the length of the block.

    Raises:
        CouldNotRun: Barman is not installed.
    """
    if shutil.which("barman") is None:
        raise CouldNotRun("barman is not installed: apt-get install barman")
    home, parts = bench.place("home"), bench.place("parts")
    config = bench.folder / "barman.conf"
    tools = server_tools(bench.processes)
    reach = f"host={bench.cluster.socket_dir} user=postgres"
    config.write_text(
        f"[barman]\nbarman_user={getpass.getuser()}\nbarman_home={home}\n"
        f"log_file={home}/log\nconfiguration_files_directory={parts}\n"
        f"[main]\ndescription=main\nconninfo={reach} dbname=postgres\n"
        f"streaming_conninfo={reach}\nbackup_method=postgres\nstreaming_archiver=on\n"
        f"slot_name=barman\ncreate_slot=auto\npath_prefix={tools.bin_dir}\n"
    )
    repository = Barman("main", bench.processes, TIMEOUT_S, config)

    def barman(*arguments: str) -> None:
        argv = ["barman", f"--config={config}", *arguments]
        bench.processes.run(argv, timeout_s=TIMEOUT_S)

    def settle() -> None:
        barman("switch-wal", "--force", "--archive", "main")

    barman("receive-wal", "--create-slot", "main")
    receiver = ["barman", f"--config={config}", "receive-wal", "main"]
    with bench.processes.start(receiver):
        until(lambda: _streaming(bench), 30, "barman's receiver streaming")
        settle()
        yield Kept(repository, home / "main" / "wals", home / "main" / "base", settle)


ROWS = (
    Row(
        "engines",
        "pgBackRest and Barman behind one Protocol: what their exit statuses pass over is found",
        "gap named, flip found, restored elsewhere",
        other_engines,
    ),
)
