"""Owns `health.end` on the socket: ends a session that others wait for, after another look at it.

It is done by the login that may signal, guarded by pid and start, and written down before and
after.
What to do is blocking.py's and action.py's to say.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shippyard.config.models import Health
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.health.action import ending
from shippyard.health.blocking import PREPARED_PID, Party, Tree, tree_of
from shippyard.health.live import EDGES
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.session import QueryFailed, Session, Unreachable, session
from shippyard.postgres.target import Target

LOOKS, LOOK_EVERY_S = 25, 0.2
"""For five seconds it is looked at what came of it."""
PURPOSE = "end"
LOOK_AGAIN = (
    "look again, for what was cancelled may sit idle in its transaction now: "
    "shippyard ctl health blockers"
)

_NOT_PERMITTED = "42501"


class Audit(Protocol):
    """Where it is written down who did it."""

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        """Append one entry; gives its hash."""
        ...


@dataclass(frozen=True)
class Logins:
    """How a database is reached: to look, and to signal (the one that may, else to look)."""

    monitor: Callable[[], Target]
    signal: Callable[[], Target]


def build(logins: Mapping[str, Logins], audit: Audit) -> list[Method]:
    """The method; `logins` by the configured name of a database."""
    edges = next(check for check in load_checks(Health()) if check.name == EDGES)

    def end(call: Call) -> Document:
        name, pid, start = _asked(call.params, logins)
        return _Ending(name, logins[name], edges, audit, call.peer.user).end(pid, start)

    return [Method("health.end", "operator", end)]


def _asked(params: Document, logins: Mapping[str, Logins]) -> tuple[str, int, str]:
    name, pid, start = (params.get(key) for key in ("database", "pid", "backend_start"))
    if name not in logins:
        known = ", ".join(logins)
        raise MethodError("usage", f"no database {name!r} in config; try one of: {known}")
    if not isinstance(pid, int) or not isinstance(start, str):
        raise MethodError("usage", "say pid and backend_start, as health.blockers shows them")
    if pid == PREPARED_PID:
        raise MethodError("usage", "a prepared transaction is no session; see health.blockers")
    return str(name), pid, start


@dataclass(frozen=True)
class _Ending:
    """One session to be ended in one database, and for whom."""

    database: str
    logins: Logins
    edges: Check
    audit: Audit
    actor: str

    def end(self, pid: int, start: str) -> Document:
        try:
            with session(self.logins.monitor(), PURPOSE) as looking:
                party, victims = self._still_blocking(looking, pid, start)
                statement = ending(pid, party.backend_start, party.state)
                detail = {"pid": pid, "backend_start": start, "ran": statement, "victims": victims}
                self.audit.record(self.actor, "session.end", self.database, detail)
                self._signal(statement)
                outcome = self._outcome(looking, pid, start)
        except (Unreachable, QueryFailed, SecretMissing) as error:
            raise MethodError("failed", f"{self.database}: {error}") from None
        self.audit.record(self.actor, f"session.{outcome}", self.database, {"pid": pid})
        advice = None if outcome == "ended" else LOOK_AGAIN
        return {"database": self.database, **detail, "outcome": outcome, "next": advice}

    def _still_blocking(self, looking: Session, pid: int, start: str) -> tuple[Party, int]:
        tree = self._tree(looking)
        party = tree.parties.get(pid)
        if party is None or pid not in tree.waiters:
            raise MethodError("blocked", f"pid {pid} blocks nobody any more; nothing was done")
        if not _is_same(party, start):
            raise MethodError("blocked", f"pid {pid} is another session by now; nothing was done")
        root = next((each for each in tree.roots if each.party.pid == pid), None)
        return party, len(root.victims) if root else len(tree.waiters[pid])

    def _signal(self, statement: str) -> None:
        target = self._signalling()
        try:
            with session(target, PURPOSE) as opened:
                opened.query(statement)
        except QueryFailed as error:
            if error.sqlstate != _NOT_PERMITTED:
                raise
            grant = f"GRANT pg_signal_backend TO {target.user}"
            raise MethodError(
                "failed",
                f"{error}; allow it with: {grant} (a superuser's session only a superuser ends), "
                f"or run by hand: {statement}",
            ) from None

    def _signalling(self) -> Target:
        """The login that is made for it where it can be reached, else the monitor's."""
        target = self.logins.signal()
        try:
            with session(target, PURPOSE):
                return target
        except Unreachable:
            return self.logins.monitor()

    def _outcome(self, looking: Session, pid: int, start: str) -> str:
        """What came of it: `ended`, or `still_blocking` when others wait for it yet."""
        for _ in range(LOOKS):
            tree = self._tree(looking)
            party = tree.parties.get(pid)
            if party is None or pid not in tree.waiters or not _is_same(party, start):
                return "ended"
            threading.Event().wait(LOOK_EVERY_S)
        return "still_blocking"

    def _tree(self, looking: Session) -> Tree:
        sql = self.edges.sql_for(looking.server_version)
        return tree_of(looking.query(sql, self.edges.params, timeout_s=self.edges.timeout_s))


def _is_same(party: Party, start: str) -> bool:
    try:
        return party.backend_start == datetime.fromisoformat(start)
    except (TypeError, ValueError):
        return False
