"""Owns looking after the application while a revision is applied: a thread with its own session.

It works while the main thread waits inside the driver. An application's session that waits behind
ours for too long has our statement cancelled; where cancelling does not end it, our session is
ended. It also says how far a statement is, and learns which locks were asked for. Decides nothing
about trying again.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg.pq import TransactionStatus

from shippyard.host.clock import SystemClock
from shippyard.migration.attempt import Attempt
from shippyard.migration.waits import (
    AHEAD_SQL,
    BEHIND_SQL,
    CANCEL_SQL,
    END_SQL,
    NAME_SQL,
    PROGRESS_SQL,
    QUEUE_SQL,
    ask,
    who,
)

POLL_S = 0.05
POLL_FIRST_S = 0.02
YOUNG_S = 1.0
"""In its first moments an attempt asks for its locks, and may give them up in no time."""
STOP_WITHIN_S = 1.0
RECONNECT_S = 1.0
PROGRESS_EVERY_S = 1.0
WAITING_EVERY_S = 5.0
END_AFTER_MS = 150.0
"""A cancelled statement's locks stay until its transaction is rolled back."""

BUSY = frozenset({TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR})

Tell = Callable[..., None]
Connect = Callable[[], psycopg.Connection[dict[str, Any]]]


class Blocked:
    """Since when each session has been seen to wait for us. Pure."""

    def __init__(self) -> None:
        self._since_ms: dict[int, float] = {}
        self._looked_ms: float | None = None

    def see(self, pids: Iterable[int], now_ms: float) -> float:
        """What a look found; gives how long somebody may have been waiting by now.

        Whoever was not there a look ago may have come right after it.
        """
        came_ms = now_ms if self._looked_ms is None else self._looked_ms
        self._since_ms = {pid: self._since_ms.get(pid, came_ms) for pid in pids}
        self._looked_ms = now_ms
        return max((now_ms - since for since in self._since_ms.values()), default=0.0)


def what_to_do(
    blocked_ms: float, may_block_ms: float, since_cancel_ms: float | None, *, idle: bool
) -> Literal["cancel", "end"] | None:
    """Cancel what is in the way for too long; end the session where that is not enough. Pure.

    A session that is `idle` in its transaction has nothing to cancel.
    """
    if blocked_ms < may_block_ms:
        return None
    if since_cancel_ms is None:
        return "end" if idle else "cancel"
    return "end" if since_cancel_ms >= END_AFTER_MS else None


@dataclass
class Watch:
    """One attempt under the watchdog's eyes. `asked_for` is which lock it waited for, of what."""

    attempt: Attempt
    may_block_ms: float
    expected_s: float | None
    tell: Tell
    begun_s: float
    blocked: Blocked = field(default_factory=Blocked)
    asked_for: dict[str, str] = field(default_factory=dict)
    struck: bool = False
    cancelled_ms: float | None = None
    told_s: dict[str, float] = field(default_factory=dict)


class Watchdog:
    """The thread. Begin it with `running`, and have each attempt looked after with `over`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the thread look, for the length of a block.

        Raises:
            psycopg.OperationalError: there is no session to look with; nothing runs unwatched.
        """
        self._session = self._connect()
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join(STOP_WITHIN_S)

    @contextmanager
    def over(
        self, attempt: Attempt, tell: Tell, *, may_block_ms: float, expected_s: float | None
    ) -> Iterator[Watch]:
        """One attempt, for the length of a block."""
        now_s = self._clock.monotonic()
        watch = Watch(attempt, may_block_ms, expected_s, tell, now_s)
        watch.told_s = {"progress": now_s, "waiting": now_s}
        self._watch = watch
        try:
            yield watch
        finally:
            self._watch = None
            with self._lock:  # a look that has begun is over, so that it strikes nothing later
                pass

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s()):
            with self._lock:
                watch = self._watch
                if watch is None:
                    continue
                try:
                    self._look(watch)
                except psycopg.Error as error:
                    self._connect_again(watch, error)
        with suppress(psycopg.Error):
            self._session.close()

    def _pause_s(self) -> float:
        watch = self._watch
        young = watch is not None and self._clock.monotonic() - watch.begun_s < YOUNG_S
        return POLL_FIRST_S if young else POLL_S

    def _look(self, watch: Watch) -> None:
        pids = pids_of(watch.attempt)
        if not pids:
            watch.blocked.see((), self._now_ms())
            return
        queue = self._ask(QUEUE_SQL)
        behind = self._behind(queue, pids)
        self._act(watch, pids, behind)
        ours = [row for row in queue if row["pid"] in pids]
        self._learn(watch, ours)
        self._say_who_is_ahead(watch, ours)
        self._say_how_far(watch, pids, behind)

    def _behind(
        self, queue: Sequence[Mapping[str, Any]], pids: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Sessions of the application that wait for us. Asked only when somebody waits at all."""
        waiting = [row["pid"] for row in queue if row["pid"] not in pids]
        if not waiting:
            return []
        return self._ask(BEHIND_SQL, {"waiting": waiting, "ours": pids})

    def _act(self, watch: Watch, pids: Sequence[int], behind: Sequence[Mapping[str, Any]]) -> None:
        now_ms = self._now_ms()
        blocked_ms = watch.blocked.see((row["pid"] for row in behind), now_ms)
        since = None if watch.cancelled_ms is None else now_ms - watch.cancelled_ms
        action = what_to_do(blocked_ms, watch.may_block_ms, since, idle=is_idle(watch.attempt))
        if action is None:
            if not behind:
                watch.cancelled_ms = None
            return
        watch.struck = True
        watch.cancelled_ms = now_ms
        self._ask(CANCEL_SQL if action == "cancel" else END_SQL, {"pids": pids})
        did = "cancelled" if action == "cancel" else "its session ended"
        message = f"{did}: {len(behind)} session(s) waited for it for {blocked_ms:.0f} ms"
        watch.tell(
            "watchdog",
            message=message,
            action=action,
            blocked_ms=round(blocked_ms),
            sessions=who(behind),
        )

    def _learn(self, watch: Watch, ours: Sequence[Mapping[str, Any]]) -> None:
        for row in ours:
            if row["relation"] is not None:
                for found in self._ask(NAME_SQL, {"oid": row["relation"]}):
                    watch.asked_for[found["name"]] = row["mode"]

    def _say_who_is_ahead(self, watch: Watch, ours: Sequence[Mapping[str, Any]]) -> None:
        """Only of what is built CONCURRENTLY: all else gives up by itself."""
        if not (ours and watch.attempt.concurrent and self._is_due(watch, "waiting")):
            return
        ahead = self._ask(AHEAD_SQL, {"pid": ours[0]["pid"]})
        if ahead:
            first = f"{ahead[0]['user']} ({ahead[0]['application']}, process {ahead[0]['pid']})"
            age_s = round(max(row["age_ms"] or 0.0 for row in ahead) / 1000, 1)
            message = f"it waits for {len(ahead)} session(s), the first is {first}"
            watch.tell("waiting", message=message, sessions=who(ahead), age_s=age_s)

    def _say_how_far(
        self, watch: Watch, pids: Sequence[int], behind: Sequence[Mapping[str, Any]]
    ) -> None:
        if not self._is_due(watch, "progress"):
            return
        found = self._ask(PROGRESS_SQL, {"pids": pids})
        elapsed_s = self._clock.monotonic() - watch.begun_s
        percent = found[0]["percent"] if found else None
        left_s = eta_s(elapsed_s, percent, watch.expected_s)
        parts = [f"running for {elapsed_s:.0f} s"]
        parts += [f"{found[0]['what']}: {found[0]['phase']}"] if found else []
        parts += [f"{percent:.0f} %"] if percent is not None else []
        parts += [f"about {left_s:.0f} s left"] if left_s is not None else []
        parts += [f"{len(behind)} session(s) wait for it"] if behind else []
        watch.tell(
            "progress",
            message=", ".join(parts),
            percent=None if percent is None else round(percent, 1),
            eta_s=None if left_s is None else round(left_s, 1),
            waiting_for_us=len(behind),
        )

    def _is_due(self, watch: Watch, what: str) -> bool:
        every_s = PROGRESS_EVERY_S if what == "progress" else WAITING_EVERY_S
        now_s = self._clock.monotonic()
        if now_s - watch.told_s[what] < every_s:
            return False
        watch.told_s[what] = now_s
        return True

    def _connect_again(self, watch: Watch, error: psycopg.Error) -> None:
        """Nobody looks until there is a session; said, because it matters."""
        if self._is_due(watch, "waiting"):
            said = " ".join(str(error).split())
            watch.tell("watchdog", message=f"it can't look after sessions now: {said}")
        if self._session.closed and not self._stopped.wait(RECONNECT_S):
            with suppress(psycopg.Error):
                self._session = self._connect()

    def _ask(
        self, question: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return ask(self._session, question, parameters)

    def _now_ms(self) -> float:
        return self._clock.monotonic() * 1000


def pids_of(attempt: Attempt) -> list[int]:
    """Server processes of an attempt that may hold or want locks now."""
    sessions = list(attempt.sessions.items())
    return [pid for pid, each in sessions if each.pgconn.transaction_status in BUSY]


def is_idle(attempt: Attempt) -> bool:
    """True when every one of them waits for its client, and holds what it holds."""
    statuses = [each.pgconn.transaction_status for each in list(attempt.sessions.values())]
    return TransactionStatus.INTRANS in statuses and TransactionStatus.ACTIVE not in statuses


def eta_s(elapsed_s: float, percent: float | None, expected_s: float | None) -> float | None:
    """How long it may still take: by how far it is, else by its rehearsal. Pure."""
    if percent is not None and percent > 1:
        return elapsed_s * (100 - percent) / percent
    return None if expected_s is None else max(expected_s - elapsed_s, 0.0)
