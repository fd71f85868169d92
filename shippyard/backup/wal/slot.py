"""Owns the risk of a replication slot: the server keeps all WAL that we have not taken. Pure.

`safe_wal_size` is NULL at PostgreSQL's default settings, so the risk is what is kept against the
disk that it is kept on. Before that disk is full the slot goes: a gap is better than a server that
stops.
"""

from dataclasses import dataclass
from typing import Any, Literal

from shippyard.backup.wal.names import parse_lsn

UNSEEN_LIMIT_BYTES = 16 * 1024**3
"""What a slot may keep while the server's disk can't be seen, before somebody is told."""
WORTH_DROPPING_SEGMENTS = 8
Action = Literal["none", "wait", "warn", "drop"]
"""`wait` is to say nothing yet, neither that it is wrong nor that it is well."""
Past = Literal["expected", "never", "seen"]
"""Whether a slot was ever there; `expected` in the first moments, when its receiver makes it."""


@dataclass(frozen=True)
class Disk:
    """The disk that the server's WAL is on."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class SlotFacts:
    """What the server says of our slot. `retained_bytes` is None when there is no slot."""

    exists: bool
    active: bool
    retained_bytes: int | None
    keep_limit_mb: int
    segment_bytes: int
    lost: bool = False


@dataclass(frozen=True)
class Judgement:
    """What to do about it, and why in one line; the line is empty when all is well."""

    action: Action
    severity: Literal["page", "ticket"] = "ticket"
    line: str = ""


def facts_of(row: dict[str, Any]) -> SlotFacts:
    """The facts from the one row of slot.sql."""
    restart, now = row["restart_lsn"], row["lsn"]
    return SlotFacts(
        exists=bool(row["slot_exists"]),
        active=bool(row["active"]),
        retained_bytes=max(0, parse_lsn(now) - parse_lsn(restart)) if restart else None,
        keep_limit_mb=int(row["max_slot_wal_keep_size"]),
        segment_bytes=int(row["wal_segment_size"]),
        lost=row["wal_status"] == "lost",
    )


@dataclass(frozen=True)
class Owned:
    """A slot by its name, the cluster whose receiver makes it, and what was seen of it before."""

    name: str
    cluster: str
    past: Past = "seen"

    @property
    def remade(self) -> str:
        """What makes a lost one again, and closes the hole that it left."""
        return (
            f"run: systemctl restart shippyard-wal@{self.cluster}; "
            f"then: shippyard ctl backup run @{self.cluster} --kind base"
        )


def judge(
    slot: Owned, facts: SlotFacts, disk: Disk | None, *, reserve_ratio: float, may_drop: bool
) -> Judgement:
    """What the slot's state asks for. The disk comes before everything else."""
    name = slot.name
    if not facts.exists:
        return _absent(slot)
    if facts.lost:
        return Judgement(
            "warn",
            "page",
            f"replication slot {name} was invalidated: the server let its WAL go; {slot.remade}",
        )
    if disk and _is_filling(facts, disk, reserve_ratio):
        line = (
            f"the server's disk has {_mb(disk.free_bytes)} of {_mb(disk.total_bytes)} free and "
            f"slot {name} keeps {_mb(facts.retained_bytes or 0)}"
        )
        if may_drop:
            return Judgement("drop", "page", f"{line}; the slot is dropped")
        return Judgement(
            "warn", "page", f"{line}; drop it: SELECT pg_drop_replication_slot('{name}')"
        )
    if disk is None and (facts.retained_bytes or 0) > UNSEEN_LIMIT_BYTES:
        return Judgement(
            "warn",
            "page",
            f"slot {name} keeps {_mb(facts.retained_bytes or 0)} on a disk that can't be seen "
            f"from here; run: systemctl restart shippyard-wal@{slot.cluster}, and look at the "
            "server's disk",
        )
    return _limits(name, facts)


def _absent(slot: Owned) -> Judgement:
    if slot.past == "expected":
        return Judgement("wait")
    if slot.past == "never":
        return Judgement(
            "warn",
            "page",
            f"replication slot {slot.name} was not made yet, so the server keeps no WAL for us; "
            f"run: systemctl enable --now shippyard-wal@{slot.cluster} "
            f"(or by hand: shippyard wal receive {slot.cluster} --create-slot)",
        )
    line = f"replication slot {slot.name} is gone: WAL can be lost; {slot.remade}"
    return Judgement("warn", "page", line)


def _limits(name: str, facts: SlotFacts) -> Judgement:
    if facts.keep_limit_mb >= 0:
        return Judgement("none")
    return Judgement(
        "warn",
        "ticket",
        f"nothing limits what slot {name} keeps: with its receiver down it can fill the server's "
        "disk; run: ALTER SYSTEM SET max_slot_wal_keep_size = '32GB'; SELECT pg_reload_conf()",
    )


def _is_filling(facts: SlotFacts, disk: Disk, reserve_ratio: float) -> bool:
    """Short of disk, and the slot is why: it keeps more than a receiver that keeps up leaves."""
    worth_bytes = WORTH_DROPPING_SEGMENTS * facts.segment_bytes
    short = disk.free_bytes < reserve_ratio * disk.total_bytes
    return short and (facts.retained_bytes or 0) >= worth_bytes


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
