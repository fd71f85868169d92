"""Owns what rows about making backups share: a database worth killing, and looks from outside.

Looks go by the folder, the socket, the process table and the server's own views; never by what a
module of ours thinks.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from proofs.rig import DATABASE, Document, Rig
from proofs.waiting import Late, until
from shippyard.control.client import CallFailed, Client, DaemonUnreachable

CLUSTER = f"@{DATABASE}"
KINDS = ((DATABASE, "dump"), (CLUSTER, "base"))
WORK_TIMEOUT_S = 120.0

# States of a backup in which nothing more happens by itself.
ENDED = frozenset({"published", "failed", "missing", "damaged", "expired", "deleted"})

# 8 MB that no compression shortens, in a table that takes a moment to digest.
SEED = """
CREATE TABLE IF NOT EXISTS freight AS
SELECT n, (SELECT string_agg(sha512((n * 1000 + i)::text::bytea), '')
           FROM generate_series(1, 64) i) AS load
FROM generate_series(1, 2048) n
"""


@dataclass
class Asked:
    """One backup that was asked for, and how that ended."""

    subject: str
    kind: str
    begun: float = field(default_factory=time.monotonic)
    taken: list[Document] = field(default_factory=list)
    error: str | None = None
    ended: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds from asking to the end."""
        assert self.ended is not None, "it has not ended"
        return self.ended - self.begun


def prepare(stage: Rig) -> None:
    """Base backups beside dumps, and rows to put into both."""
    stage.document["backup"]["clusters"] = {DATABASE: {}}
    with stage.connect() as connection:
        connection.execute(SEED)
        connection.execute("CHECKPOINT")


@contextmanager
def asked(stage: Rig, subject: str, kind: str) -> Iterator[Asked]:
    """Ask for a backup in the background; waits for its end when the block is left."""
    work = Asked(subject, kind)

    def ask() -> None:
        try:
            answer = Client(stage.socket).call("backup.run", {"database": subject, "kind": kind})
            work.taken = list(answer["backups"])
        except (CallFailed, DaemonUnreachable) as error:
            work.error = str(error)
        work.ended = time.monotonic()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield work
    thread.join(WORK_TIMEOUT_S)
    if thread.is_alive():
        raise Late(f"the {kind} backup did not end: not within {WORK_TIMEOUT_S:g} s")


def take(stage: Rig, subject: str, kind: str) -> Document:
    """One backup that must succeed."""
    with asked(stage, subject, kind) as work:
        pass
    if work.error:
        raise AssertionError(f"{kind} of {subject}: {work.error}")
    return work.taken[0]


def partials(stage: Rig) -> list[Path]:
    """Hidden folders of unfinished backups."""
    with suppress(OSError):  # a folder may be renamed while it is walked
        return list(stage.backups.glob("*/.*.partial"))
    return []


def partial_bytes(stage: Rig) -> int:
    """How much unfinished backups have written."""
    total = 0
    for folder in partials(stage):
        with suppress(OSError):
            total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return total


def published(stage: Rig) -> dict[str, str]:
    """Hashes over everything in each visible backup's folder, by its path."""
    folders = [p for p in stage.backups.glob("*/*") if p.is_dir() and p.name[0] != "."]
    return {str(folder.relative_to(stage.backups)): _hash_of(folder) for folder in folders}


def backends(stage: Rig) -> list[str]:
    """Sessions of backups on the server, whatever they do."""
    question = (
        "SELECT application_name || ' ' || coalesce(state, '') || ' ' || backend_type"
        " FROM pg_stat_activity WHERE application_name LIKE 'shippyard:backup%'"
    )
    with stage.connect() as connection:
        return [row[0] for row in connection.execute(question).fetchall()]


def unsound(stage: Rig) -> list[str]:
    """What is wrong: rows that still move, published ones that don't verify, or aren't there."""
    listed = [
        each
        for subject, _ in KINDS
        for each in stage.call("backup.list", {"database": subject, "all": True})["backups"]
    ]
    problems = [f"{b['id']} is still {b['state']}" for b in listed if b["state"] not in ENDED]
    counted = {b["id"] for b in listed if b["state"] == "published"}
    there = {name.split("/")[1] for name in published(stage)}
    problems += [f"{each} counts and is not there" for each in sorted(counted - there)]
    problems += [f"{each} is there and does not count" for each in sorted(there - counted)]
    for each in sorted(counted & there):
        found = stage.call("backup.verify", {"id": each})
        problems += [f"{each}: {problem}" for problem in found["problems"]]
    return problems


def wait_for_none(stage: Rig, timeout_s: float) -> list[str]:
    """Backends of backups that are left after `timeout_s`."""
    with suppress(Late):
        until(lambda: not backends(stage), timeout_s, "no backend of a backup")
    return backends(stage)


def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
