"""Owns finding out what a run left behind whose owner died, and ending what of it still runs.

Sessions of that run alone are ended, each by its process and its start, and waited for until they
are gone. What is then in the database is said. Takes no decision about going on: what is left to do
is the plan's own business, and is made in `resuming`.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shippyard.host.clock import Clock, SystemClock
from shippyard.migration.hazards.reading.sql import read_sql
from shippyard.migration.journal import Run
from shippyard.migration.leftovers import Leftover, read_leftovers
from shippyard.migration.plan import Plan, Rendered
from shippyard.migration.spec import Way
from shippyard.migration.version_table import read_current
from shippyard.postgres.session import Session, open_session
from shippyard.postgres.target import Target

PURPOSES = ("migrate", "migrate-lock", "migrate-watch")
NAME_MAX_BYTES = 63  # what the server keeps of an application's name
ENDED_WITHIN_S = 10.0
POLL_S = 0.05

# The login's own sessions may be ended by the login, not by the role that it acts as.
AS_LOGIN = {"role": "none", "default_transaction_read_only": "off"}

STALE_SQL = """
SELECT pid, backend_start, application_name AS name, coalesce(state, '') AS state,
    left(regexp_replace(query, '\\s+', ' ', 'g'), 120) AS query
FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' AND application_name = ANY (%(names)s)
ORDER BY pid
"""
END_SQL = """
SELECT pg_terminate_backend(pid) AS told
FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(start)s
"""

FATES: Mapping[bool | None, str] = {
    None: "and what of it was committed by itself stays",
    True: "and some of it stays",
    False: "and was rolled back whole",
}

# Events after which something of a revision stays, whatever becomes of its transaction.
STAYS = frozenset({"autocommit"})


class _Waits(Protocol):
    def wait(self, timeout: float) -> bool: ...


@dataclass(frozen=True)
class Stale:
    """A session of a run whose owner is dead."""

    pid: int
    started: datetime
    name: str
    doing: str

    def __str__(self) -> str:
        return f"{self.name} (server process {self.pid}): {self.doing}"


@dataclass(frozen=True)
class Found:
    """What a run left. `still_there` are sessions that did not end in time.

    `applied` are its revisions that are stamped, oldest first. `begun` is one that was begun and is
    not; `half_applied` says whether some of it stays: None when nobody wrote it down.
    """

    at: str | None
    ended: tuple[str, ...]
    still_there: tuple[str, ...]
    applied: tuple[str, ...]
    begun: str | None
    half_applied: bool | None
    leftovers: tuple[Leftover, ...]

    @property
    def clean(self) -> bool:
        """Nothing is left but whole revisions."""
        return not (self.still_there or self.half_applied or self.leftovers)

    @property
    def said(self) -> str:
        """What happened, in one line."""
        parts = [f"the database is at {self.at or 'no revision'}"]
        if self.ended:
            parts.append(f"ended {len(self.ended)} session(s) that it had left")
        if self.still_there:
            parts.append(f"still there: {', '.join(self.still_there)}")
        if self.begun:
            parts.append(f"{self.begun} was begun, {FATES[self.half_applied]}")
        parts += [f"{each.name} is {each.what}" for each in self.leftovers]
        return "; ".join(parts)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "at": self.at,
            "ended": list(self.ended),
            "still_there": list(self.still_there),
            "applied": list(self.applied),
            "begun": self.begun,
            "half_applied": self.half_applied,
            "leftovers": [each.document() for each in self.leftovers],
            "message": self.said,
        }


def recover(
    run: Run,
    target: Target,
    *,
    plan: Plan | None = None,
    clock: Clock | None = None,
    timeout_s: float = ENDED_WITHIN_S,
) -> Found:
    """End what is left of a run's sessions, and say what it left. Only for runs nobody carries out.

    With the run's `plan`, where it could be made again, more can be said of a revision cut off.

    Raises:
        Unreachable, QueryFailed: the server did not say.
    """
    opened = open_session(target, "migrate-recover", settings=AS_LOGIN)
    try:
        ended, left = end_stale(opened, run.id, clock or SystemClock(), timeout_s)
        at = read_current(opened.query)
        leftovers = read_leftovers(opened.query)
    finally:
        opened.close()
    steps = run.detail.get("steps", ())
    begun = begun_of(steps, at, run.way)
    return Found(
        at,
        tuple(map(str, ended)),
        tuple(map(str, left)),
        applied_of(steps, at),
        begun,
        half_applied_of(steps, begun, plan, run.way) if begun else False,
        leftovers,
    )


def end_stale(
    session: Session, run_id: str, clock: Clock, timeout_s: float = ENDED_WITHIN_S
) -> tuple[list[Stale], list[Stale]]:
    """End a run's sessions and wait until they are gone: those that are, and those that are not.

    A session is asked for anew each time: a process id that came back is somebody else's.
    """
    pause: _Waits = threading.Event()
    deadline_s = clock.monotonic() + timeout_s
    seen: dict[tuple[int, datetime], Stale] = {}
    while left := read_stale(session, run_id):
        for each in left:
            seen[each.pid, each.started] = each
            session.query(END_SQL, {"pid": each.pid, "start": each.started})
        if clock.monotonic() >= deadline_s:
            break
        pause.wait(POLL_S)
    there = {(each.pid, each.started) for each in left}
    return [each for key, each in seen.items() if key not in there], left


def read_stale(session: Session, run_id: str) -> list[Stale]:
    """The sessions of one run that the server still has."""
    rows = session.query(STALE_SQL, {"names": names_of(run_id)})
    return [
        Stale(row["pid"], row["backend_start"], row["name"], f"{row['state']}: {row['query']}")
        for row in rows
    ]


def names_of(run_id: str) -> list[str]:
    """What the sessions of a run call themselves, as the server cuts it off."""
    whole = (f"shippyard:{purpose}:{run_id}" for purpose in PURPOSES)
    return [name.encode()[:NAME_MAX_BYTES].decode(errors="ignore") for name in whole]


def applied_of(steps: Iterable[Mapping[str, Any]], at: str | None) -> tuple[str, ...]:
    """The revisions that a run got through, and the one that it stamped and could not tell of."""
    names = dict.fromkeys(_named(steps, "revision_done"))
    started = _named(steps, "revision_started")
    if at is not None and started and started[-1] == at:
        names[at] = None
    return tuple(names)


def begun_of(steps: Sequence[Mapping[str, Any]], at: str | None, way: Way) -> str | None:
    """The revision that was begun and has not ended; `at` is where the database stands."""
    started, done = _named(steps, "revision_started"), _named(steps, "revision_done")
    if not started or started[-1] in done:
        return None
    # on the way up it is done when it is stamped, on the way down when it no longer is
    stamped = started[-1] == at
    return started[-1] if stamped == (way == "down") else None


def half_applied_of(
    steps: Sequence[Mapping[str, Any]], begun: str, plan: Plan | None = None, way: Way = "up"
) -> bool | None:
    """Whether some of a revision that was not stamped may stay; None when nobody can know.

    What a runner said last may have died with whoever listened. So only the text of a revision that
    is one transaction proves that nothing stays.
    """
    of_it = [each for each in steps if each.get("revision") == begun]
    if any(each.get("event") in STAYS or each.get("half_applied") for each in of_it):
        return True
    sql = (plan.rendered if way == "up" else plan.undo) if plan else {}
    return False if begun in sql and is_atomic(sql[begun]) else None


def is_atomic(rendered: Rendered) -> bool:
    """Whether a revision is one transaction, as far as its text shows."""
    if rendered.unrendered:
        return False
    said = read_sql(rendered.sql, in_transaction=True)
    return None not in (found := {each.transaction for each in said}) and len(found) <= 1


def _named(steps: Iterable[Mapping[str, Any]], event: str) -> list[str]:
    return [str(each["revision"]) for each in steps if each.get("event") == event]
