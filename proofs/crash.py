"""Proves that the daemon can be killed or stopped at any time, also in the middle of a dump."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proofs.rig import DATABASE, Block, Document, Rig, rig
from proofs.table import Context, Outcome
from proofs.waiting import seconds_until, until
from shippyard.control.client import CallFailed, Client, DaemonUnreachable
from shippyard.setup.receiver import Page

STOP_GOAL_S = 10.0
DUMP_TIMEOUT_S = 120.0
PARTIAL_BYTES = 1_000_000
PREPARE_S = 25.0
LEAD_S = 5.0
WATCH_S = 8.0

# States of a backup in which nothing more happens by itself.
ENDED = frozenset({"published", "failed", "missing", "damaged", "expired", "deleted"})

# 16 MB that no compression shortens, doubled over and over: far enough apart to stay so.
SEED = """
CREATE TABLE freight AS
SELECT n, (SELECT string_agg(sha512((n * 1000 + i)::text::bytea || 'shippyard'), '')
           FROM generate_series(1, 64) i) AS load
FROM generate_series(1, 4096) n
"""
DOUBLE = "INSERT INTO freight SELECT n, load FROM freight"
DOUBLINGS = 2


def kill_dump(context: Context) -> Outcome:
    """`kill -9` twice, in a manual and in a caught-up dump; then look what is left."""
    with rig(context) as stage:
        due = _next_minute(datetime.now(UTC) + timedelta(seconds=PREPARE_S + LEAD_S))
        stage.document["backup"]["dump_schedule"] = f"{due.minute} {due.hour} * * *"
        stage.start()
        before = stage.call("backup.run", {"database": DATABASE, "kind": "all"})["backups"]
        block = Block(stage)
        _fill(stage)
        return _killed_twice(context, stage, block, before, due)


def _killed_twice(
    context: Context, stage: Rig, block: Block, before: list[Document], due: datetime
) -> Outcome:
    first = stage.pager.wait_for("blocked", "trigger", block.begun, 30)
    _sleep_until(due - timedelta(seconds=LEAD_S))
    assert datetime.now(UTC) < due, "preparing took so long that the job was due before the kill"
    with _asked_in_background(stage):
        context.say("kill -9 in the middle of a dump asked for by hand")
        killed = _kill_in_a_dump(stage)
    block.end()
    _sleep_until(due + timedelta(seconds=1))
    restarted = time.monotonic()
    stage.start()
    context.say("kill -9 in the middle of the dump that was missed meanwhile")
    killed += _kill_in_a_dump(stage)
    stage.start()
    until(lambda: _job(stage)["outcome"] == "done", DUMP_TIMEOUT_S, "the missed job", pause_s=0.2)
    late_s = (datetime.now(UTC) - due).total_seconds()
    problems = [
        *_orphans(killed),
        *_runs_once(stage),
        *_whole(stage, before),
        *_told(stage, first, restarted),
    ]
    measured = (
        f"killed twice at {PARTIAL_BYTES / 1e6:.0f} MB or more; the job of {due:%H:%M} ran once "
        f"(done {late_s:.0f} s after it was due); {len(_published(stage))} backups, all verify; "
        f"{len(_partials(stage))} partial files"
    )
    return Outcome(measured, ok=not problems, note="; ".join(problems))


def stop_order(context: Context) -> Outcome:
    """SIGTERM when idle, and in the middle of a dump with an incident open."""
    took: dict[str, float] = {}
    problems: list[str] = []
    with rig(context) as stage:
        stage.start()
        took["idle"] = _stopped(stage, problems)
        _fill(stage)
        for trial in range(context.count(full=3, quick=1)):
            stage.start()
            block = Block(stage)
            with _asked_in_background(stage):
                until(lambda: _partial_bytes(stage) > PARTIAL_BYTES, DUMP_TIMEOUT_S, "a dump")
                children = stage.daemon.children() if stage.daemon else []
                took[f"in a dump {trial + 1}"] = _stopped(stage, problems)
            block.end()
            problems += _orphans(children)
        stage.start()
        problems += _no_partial_counts(stage)
    measured = ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in took.items())
    in_time = max(took.values()) <= STOP_GOAL_S
    return Outcome(measured, ok=in_time and not problems, note="; ".join(problems))


def _stopped(stage: Rig, problems: list[str]) -> float:
    """Seconds from SIGTERM to the end; what was not in order goes to `problems`."""
    daemon, begun = stage.daemon, time.monotonic()
    assert daemon is not None
    daemon.send(signal.SIGTERM)
    status = daemon.wait(60)
    ended = time.monotonic()
    if status != 0:
        problems.append(f"SIGTERM ended it with {status}")
    if not stage.manager.times_of("STOPPING=1", begun):
        problems.append("systemd was not told that it stops")
    if stage.socket.exists():
        problems.append("the control socket was left behind")
    return ended - begun


def _fill(stage: Rig) -> None:
    """A table whose dump takes seconds."""
    with stage.connect() as connection:
        connection.execute("ALTER DATABASE shop SET synchronous_commit = off")
        connection.execute("DROP TABLE IF EXISTS freight")
        connection.execute(SEED)
        for _ in range(DOUBLINGS):
            connection.execute(DOUBLE)


@contextlib.contextmanager
def _asked_in_background(stage: Rig) -> Iterator[None]:
    """Ask for a dump and don't wait for it: a client that goes away never stops the work."""

    def ask() -> None:
        with contextlib.suppress(DaemonUnreachable, CallFailed):
            Client(stage.socket).call("backup.run", {"database": DATABASE, "kind": "dump"})

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield
    thread.join(15)


def _kill_in_a_dump(stage: Rig) -> list[int]:
    """`kill -9` once the partial file has grown; gives the programs that ran for the daemon."""
    until(lambda: _partial_bytes(stage) > PARTIAL_BYTES, DUMP_TIMEOUT_S, "a dump under way")
    children = stage.daemon.children() if stage.daemon else []
    stage.kill()
    return children


def _partials(stage: Rig) -> list[Path]:
    """Hidden folders of unfinished backups, and the files in them."""
    # A folder may be renamed while it is walked.
    with contextlib.suppress(OSError):
        return [path for path in stage.backups.rglob("*") if ".partial" in str(path)]
    return []


def _partial_bytes(stage: Rig) -> int:
    sizes = []
    for path in _partials(stage):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def _published(stage: Rig) -> list[Document]:
    listed = stage.call("backup.list", {"database": DATABASE})["backups"]
    return [backup for backup in listed if backup["state"] == "published"]


def _job(stage: Rig) -> Document:
    """The newest run of the scheduled dump, its outcome None when there is none."""
    for job in stage.call("jobs")["jobs"]:
        if "dump" in job["name"]:
            return dict(job["last"] or {"outcome": None})
    raise AssertionError("no job for the scheduled dump")


def _runs_once(stage: Rig) -> list[str]:
    """Watch for a while: the job is done, and nothing runs again."""
    finished = _job(stage)["finished_at"]
    _watch(WATCH_S)
    dumps = [b for b in _published(stage) if b["kind"] == "dump" and b["reason"] == "schedule"]
    problems = []
    if _job(stage)["finished_at"] != finished:
        problems.append("the missed job ran again")
    if len(dumps) != 1:
        problems.append(f"{len(dumps)} scheduled dumps were published instead of 1")
    return problems


def _whole(stage: Rig, before: list[Document]) -> list[str]:
    """Earlier backups are there, all that is published verifies, nothing partial counts."""
    now = {backup["id"] for backup in _published(stage)}
    lost = [f"{b['id']} is lost" for b in before if b["id"] not in now]
    damaged = [
        f"{each}: {answer['problems']}"
        for each in sorted(now)
        if not (answer := stage.call("backup.verify", {"id": each}))["ok"]
    ]
    return [*lost, *damaged, *_no_partial_counts(stage)]


def _no_partial_counts(stage: Rig) -> list[str]:
    listed = stage.call("backup.list", {"database": DATABASE, "all": True})["backups"]
    unfinished = [backup for backup in listed if backup["state"] not in ENDED]
    problems = [f"{b['id']} is still {b['state']}" for b in unfinished]
    if left := _partials(stage):
        problems.append(f"{len(left)} partial files were left: {left[0].name}")
    return problems


def _told(stage: Rig, first: Page, since: float) -> list[str]:
    """The block that ended while the daemon was dead resolves, and pages nobody again."""
    last = stage.pager.wait_for("blocked", "resolve", since, 30)
    problems = []
    if last.incident["id"] != first.incident["id"]:
        problems.append("another incident was resolved than was paged")
    if stage.pager.of("blocked", "trigger", since):
        problems.append("a block that was over paged again")
    return problems


def _orphans(pids: list[int]) -> list[str]:
    def alive(pid: int) -> bool:
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return True
        return False

    with contextlib.suppress(AssertionError):
        seconds_until(lambda: not any(alive(pid) for pid in pids), 5, "the programs gone")
        return []
    return [f"pid {pid} outlived the daemon" for pid in pids if alive(pid)]


def _next_minute(after: datetime) -> datetime:
    return (after + timedelta(minutes=1)).replace(second=0, microsecond=0)


def _sleep_until(moment: datetime) -> None:
    until(lambda: datetime.now(UTC) >= moment, 120, f"{moment:%H:%M:%S}")


def _watch(seconds: float) -> None:
    ended = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ended, seconds + 1, "the watch over")
