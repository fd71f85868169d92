"""Owns the settings that keep a run polite: which they are, and when a session lost them. Pure.

A migration may set what it likes to be stricter. What is laxer than agreed is set back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLIENT_CHECK_SINCE = 140_000
CLIENT_CHECK_MS = 1000
IDLE_MIN_MS = 60_000
UNIT_MS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}

_COMMENTS = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
CONCURRENTLY = re.compile(
    rf"(?is)^{_COMMENTS}(?:(?:CREATE|DROP|REINDEX)\b[^;(]*?\bCONCURRENTLY\b"
    r"|ALTER\s+TABLE\b[^;(]*\bDETACH\s+PARTITION\b[^;(]*\bCONCURRENTLY\b)"
)
CHANGES_SETTINGS = re.compile(rf"(?is)^{_COMMENTS}(?:SET|RESET|DISCARD|DO|CALL)\b|set_config|;")
PLAIN = re.compile(rf"(?is)^{_COMMENTS}(?:INSERT|UPDATE|DELETE|MERGE|SELECT|WITH|VALUES|COPY)\b")
TAKES_NO_LOCK = re.compile(
    rf"(?is)^{_COMMENTS}(?:SHOW|SET|RESET|BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE"
    r"|SELECT\s+pg_catalog)\b"
)


@dataclass(frozen=True)
class Manners:
    """What holds in one attempt's sessions; 0 is unlimited.

    What is built CONCURRENTLY waits for old snapshots under a lock that stops no reader or writer,
    and giving up would leave an INVALID index: it has only `longest_ms`.
    """

    lock_ms: int
    statement_ms: int
    longest_ms: int
    server_version: int

    def wanted(self, *, concurrent: bool = False) -> Mapping[str, int]:
        """Each limit by its name, in milliseconds."""
        limits = {
            "lock_timeout": 0 if concurrent else self.lock_ms,
            "statement_timeout": self.longest_ms if concurrent else self.statement_ms,
            # of a runner that hangs while it holds locks
            "idle_in_transaction_session_timeout": max(IDLE_MIN_MS, self.statement_ms),
        }
        if self.server_version >= CLIENT_CHECK_SINCE:
            # Without it a queued ALTER is applied after its owner is dead.
            limits["client_connection_check_interval"] = CLIENT_CHECK_MS
        return limits

    @property
    def options(self) -> str:
        """As libpq's `options`: a rollback would drop a SET, and not these."""
        limits = " ".join(f"-c {name}={value}ms" for name, value in self.wanted().items())
        # Filtering by a policy must be an error, never an UPDATE of no rows.
        return f"{limits} -c row_security=off"


def laxer(wanted: Mapping[str, int], shown: Mapping[str, str]) -> tuple[str, ...]:
    """The settings that a session has laxer than is wanted, as SHOW says them."""
    found = [name for name, value in wanted.items() if _is_laxer(milliseconds(shown[name]), value)]
    return (*found, *(["row_security"] if shown["row_security"] != "off" else []))


def mending(names: Sequence[str], wanted: Mapping[str, int]) -> str:
    """SQL that sets them back, for the session."""
    return "; ".join(
        "SET row_security = off" if name == "row_security" else f"SET {name} = {wanted[name]}"
        for name in names
    )


def showing(wanted: Mapping[str, int]) -> str:
    """SQL that asks for each, without the snapshot that a SELECT would take."""
    return "; ".join(f"SHOW {name}" for name in (*wanted, "row_security"))


def milliseconds(shown: str) -> float:
    """What SHOW says of a limit, as a number.

    Raises:
        ValueError: it is no limit.
    """
    found = re.fullmatch(r"(\d+)(us|ms|s|min|h|d)?", shown)
    if found is None:
        raise ValueError(f"{shown!r} is no time")
    return int(found[1]) * UNIT_MS[found[2] or "ms"]


def _is_laxer(found: float, wanted: int) -> bool:
    """0 is no limit at all."""
    return wanted != 0 and (found == 0 or found > wanted)
