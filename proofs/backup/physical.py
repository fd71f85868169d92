"""Proves that base backups come back whole and fast: beside pgBackRest, with WAL, on each major."""

import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proofs.backup.recovering import Back, Stage, stage
from proofs.backup.shelf import server, servers
from proofs.table import Context, CouldNotRun, Outcome, Row
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes

MAJOR = 15
INCREMENTAL_SINCE = 17
FULL_SCALE, QUICK_SCALE = 80, 3
RATIO_GOAL = 1.1
OPEN_GOAL_S = 15.0
# Our feeder beside `cp` from a folder: what is within this is the machine's doing.
FEEDER_TOLERANCE = 1.15
SEGMENT_MB = 16.777216
UPDATED_ROWS = 100_000
THEIR_TIMEOUT_S = 1800.0


def restore_physical(context: Context) -> Outcome:
    """The same server, the same level of zstd, turn by turn; each fsyncs what it writes."""
    if shutil.which("pgbackrest") is None:
        raise CouldNotRun("pgbackrest is not installed: apt-get install pgbackrest")
    scale = context.count(full=FULL_SCALE, quick=QUICK_SCALE)
    ours_s, theirs_s = [], []
    with stage(context.folder / "stage", server(Processes(), MAJOR), scale) as built:
        context.say("a base backup by each")
        base = built.base()
        with _pgbackrest(built) as theirs:
            theirs.back_up()
            for trial in range(context.count(full=3, quick=1)):
                context.say(f"restore {trial + 1} by each")
                theirs_s.append(theirs.restore(built.place("theirs")))
                place = built.place("ours")
                laid, took = built.unpacked(place, [base])
                ours_s.append(took)
                shutil.rmtree(place)
    ours, other = statistics.median(ours_s), statistics.median(theirs_s)
    measured = (
        f"{laid.size_bytes / 1e6:.0f} MB in {ours:.1f} s, every file checked on its way; "
        f"pgBackRest {other:.1f} s: {ours / other:.2f}"
    )
    note = f"runs: {_listed(ours_s)}; pgBackRest {_listed(theirs_s)}"
    # A second's work is mostly starting, and what else the machine does.
    return Outcome(measured, ok=context.quick or ours <= RATIO_GOAL * other, note=note)


def restore_open(context: Context) -> Outcome:
    """From nothing to read-write with a gigabyte of WAL; then again with `cp` as the feeder."""
    scale = context.count(full=FULL_SCALE, quick=QUICK_SCALE)
    segments = context.count(full=60, quick=4)
    with stage(context.folder / "stage", server(Processes(), MAJOR), scale) as built:
        base = built.base()
        context.say(f"making {segments} segments of WAL")
        _make_wal(built, segments)
        kept = built.archive()
        wanted = built.digests()
        context.say("restoring, WAL from our archive")
        ours = built.back(base, source=kept)
        context.say("restoring, WAL by cp from a folder")
        plain = built.back(base, source=kept, command=f"cp {built.raw}/%f %p")
    took = ours.unpack_s + ours.replay_s
    wal_mb = ours.segments * SEGMENT_MB
    measured = (
        f"{ours.laid.size_bytes / 1e6:.0f} MB and {wal_mb:.0f} MB of WAL read-write in "
        f"{took:.1f} s: files {ours.unpack_s:.1f} s, start, replay and promotion "
        f"{ours.replay_s:.1f} s ({wal_mb / ours.replay_s:.0f} MB/s of WAL in all; "
        f"{plain.replay_s:.1f} s when `cp` feeds it)"
    )
    is_machine = ours.replay_s <= FEEDER_TOLERANCE * plain.replay_s
    problems = [] if ours.digests == wanted == plain.digests else ["rows differ from production"]
    if not is_machine and took > OPEN_GOAL_S:
        problems.append("and not for the machine's sake: the feeder is slower than cp")
    over = took > OPEN_GOAL_S and is_machine
    note = "; ".join([*problems, *(["what this machine gave"] if over else [])])
    return Outcome(measured, ok=not problems, note=note)


def bases(context: Context) -> Outcome:
    """A base backup on each major, and a chain of three where it can be."""
    found, missing = servers(Processes()), []
    said, problems = [], []
    for major in (15, 17, 18):
        if major not in found:
            missing.append(str(major))
            continue
        context.say(f"PostgreSQL {major}")
        chain = _chain(context, major)
        said.append(f"{major}: {'a chain of three' if major >= INCREMENTAL_SINCE else 'full'}")
        problems += [] if chain else [f"{major}: what came back differs from production"]
    problems += [f"no PostgreSQL {each} here: `make matrix`" for each in missing]
    return Outcome("; ".join(said), ok=not problems, note="; ".join(problems))


def _chain(context: Context, major: int) -> bool:
    """Whether what came back is what was there."""
    settings = {"summarize_wal": "on"} if major >= INCREMENTAL_SINCE else {}
    tools = servers(Processes())[major]
    scale = context.count(full=10, quick=1)
    with stage(
        context.folder / f"stage{major}", tools, scale, {"fsync": "off", **settings}
    ) as built:
        chain = [built.base()]
        for _ in range(2 if settings else 0):
            _update(built, 0)
            chain.append(built.base(chain[-1]))
        _update(built, 1)
        kept = built.archive()
        back: Back = built.back(*chain, source=kept)
        return back.digests == built.digests()


def _make_wal(built: Stage, segments: int) -> None:
    before, turn = _archived(built), 0
    while _archived(built) < before + segments:
        _update(built, turn)
        turn += 1


def _archived(built: Stage) -> int:
    return sum(1 for _ in built.raw.iterdir())


def _update(built: Stage, turn: int) -> None:
    first = turn * UPDATED_ROWS
    built.shelf.execute(
        f"UPDATE pgbench_accounts SET abalance = abalance + 1 "
        f"WHERE aid BETWEEN {first + 1} AND {first + UPDATED_ROWS}",
        "SELECT pg_switch_wal()",
    )


class _PgBackRest:
    """pgBackRest of this machine, with as many processes and the same level of zstd as we use."""

    def __init__(self, built: Stage, config: Path, command: list[str]) -> None:
        self._built = built
        self._config = config
        self._command = command

    def back_up(self) -> None:
        """A full backup; WAL is not compared here."""
        self._run("stanza-create")
        self._run("--type=full", "--no-archive-check", "backup")

    def restore(self, place: Path) -> float:
        """Seconds to restore the files into an empty folder, and to flush them."""
        begun = time.monotonic()
        self._run(f"--pg1-path={place}", "restore")
        took = time.monotonic() - begun
        shutil.rmtree(place)
        return took

    def _run(self, *arguments: str) -> None:
        done = self._built.shelf.processes.run(
            [*self._command, *arguments], timeout_s=THEIR_TIMEOUT_S, user=account_for_postgres()
        )
        assert done.returncode == 0, done.stdout[-500:] or done.reason()


@contextmanager
def _pgbackrest(built: Stage) -> Iterator[_PgBackRest]:
    repo, work = built.place("repo"), built.place("pgbackrest")
    config = built.folder / "pgbackrest.conf"
    config.write_text(
        f"[global]\nrepo1-path={repo}\nlog-path={work}\nlock-path={work}\nspool-path={work}\n"
        "log-level-file=off\nlog-level-console=error\nstart-fast=y\nprocess-max=2\n"
        "compress-type=zst\ncompress-level=3\nrepo1-retention-full=1\n"
        f"[main]\npg1-path={built.shelf.cluster.data_dir}\n"
        f"pg1-socket-path={built.shelf.cluster.socket_dir}\npg1-user=postgres\n"
    )
    config.chmod(0o644)
    yield _PgBackRest(built, config, ["pgbackrest", f"--config={config}", "--stanza=main"])
    shutil.rmtree(repo)


def _listed(seconds: list[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in seconds) + " s"


ROWS = (
    Row(
        "restore-physical",
        "A base backup's files are back as fast as pgBackRest restores them",
        "≤ 1.1 of pgBackRest's time, same server, both to disk (not judged when quick)",
        restore_physical,
        alone=True,
    ),
    Row(
        "restore-open",
        "A base backup and a gigabyte of WAL are read-write again",
        "≤ 15 s, or what the machine gives: no slower than with `cp` as restore_command",
        restore_open,
        alone=True,
    ),
    Row(
        "bases",
        "Base backups and incremental chains come back on each major version",
        "15, 17 and 18; every row of the large tables equal",
        bases,
    ),
)
