"""Owns what is asked of the server about its WAL and our slot, and dropping that slot.

Every question has a deadline. What it means is decided elsewhere.
"""

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from shippyard.backup.wal.names import parse_lsn
from shippyard.backup.wal.slot import Disk, SlotFacts, facts_of
from shippyard.backup.wal.synchronous import Line, check
from shippyard.postgres.session import QueryFailed, session
from shippyard.postgres.target import Target

ASK_TIMEOUT_S = 5.0
DROP_TRIES = 3
_LOCAL = ("localhost", "127.0.0.1", "::1")
_IN_USE = "55006"
_HERE = files(__package__)


@dataclass(frozen=True)
class Answer:
    """How far the server's WAL is on disk, what has ended by then, and our slot."""

    lsn: int
    snapshot: str
    slot: SlotFacts
    disk: Disk | None


def ask(target: Target, slot: str) -> Answer:
    """One look at the server.

    Raises:
        Unreachable, QueryFailed: it does not answer.
    """
    statement = (_HERE / "slot.sql").read_text()
    with session(target, "wal", connect_timeout_s=ASK_TIMEOUT_S) as asking:
        (row,) = asking.query(statement, {"slot": slot}, timeout_s=ASK_TIMEOUT_S)
    disk = _disk_of(target.host, row["data_directory"])
    return Answer(parse_lsn(row["lsn"]), row["snapshot"], facts_of(row), disk)


def check_synchronous(target: Target, *, ours: str, second: str) -> list[Line]:
    """What loss zero needs, line by line.

    Raises:
        Unreachable, QueryFailed: the server does not answer.
    """
    statement = (_HERE / "synchronous.sql").read_text()
    with session(target, "doctor", connect_timeout_s=ASK_TIMEOUT_S) as asking:
        (row,) = asking.query(statement, timeout_s=ASK_TIMEOUT_S)
    return check(row, ours=ours, second=second)


def drop_slot(target: Target, slot: str) -> None:
    """Drop the slot, ending whoever streams from it; `target` is the replication role.

    Raises:
        Unreachable, QueryFailed: it could not be dropped.
    """
    with session(target, "slot", connect_timeout_s=ASK_TIMEOUT_S) as acting:
        for tries_left in reversed(range(DROP_TRIES)):
            acting.query(
                "SELECT pg_terminate_backend(active_pid, 2000) FROM pg_replication_slots"
                " WHERE slot_name = %(slot)s AND active",
                {"slot": slot},
            )
            try:
                acting.query("SELECT pg_drop_replication_slot(%(slot)s)", {"slot": slot})
            except QueryFailed as error:
                if error.sqlstate != _IN_USE or not tries_left:
                    raise
            else:
                return


def _disk_of(host: str, data_directory: str | None) -> Disk | None:
    """The disk with the server's WAL, when the server is on this machine and says where."""
    if data_directory is None or not (host.startswith("/") or host in _LOCAL):
        return None
    # We may not look into the data folder, but into one above it.
    for folder in (Path(data_directory) / "pg_wal", Path(data_directory)):
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        return Disk(usage.free, usage.total)
    return None
