"""Owns which statements ran and for how long, from one look to the next. Pure.

A server shows what each session does now or did last. What begins and ends between two looks, and
is followed by another at once, is not seen: it took less than two milliseconds.
"""

from dataclasses import dataclass, replace

from shippyard.migration.recording.observing import Activity, Observation
from shippyard.migration.recording.pauses import Pauses

KEPT_MAX = 200
TRACKED_MAX = 2_000
TEXT_MAX_CHARS = 500


@dataclass(frozen=True)
class Ran:
    """A statement's longest execution in one revision. `since_s` is when it first began."""

    text: str
    query_id: int | None
    revision: str | None
    since_s: float
    elapsed_s: float


_Key = tuple[str, str | None]


@dataclass(frozen=True)
class _Active:
    """What runs; `waited_s` is how long its session had waited for us before."""

    session: Activity
    revision: str | None
    waited_s: float


class Statements:
    """Builds statements from looks. `revision` is the one that runs now."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self.revision: str | None = None
        self._active: dict[int, _Active] = {}
        self._ended: dict[int, float] = {}
        self._ran: dict[_Key, Ran] = {}

    def observe(self, look: Observation) -> None:
        """Take in one look, later than all before; the pauses know it."""
        now = {each.pid: each for each in look.sessions if each.text}
        for pid, running in list(self._active.items()):
            session = now.get(pid)
            if session is None or session.began_s != running.session.began_s:
                self._end(running, session.began_s if session else look.at_s)
                del self._active[pid]
        for session in now.values():
            if self._ended.get(session.pid) != session.began_s:
                self._see(session)

    def ran(self, at_s: float) -> list[Ran]:
        """The longest ones, in the order in which they began; what still runs ends at `at_s`."""
        for running in self._active.values():
            self._end(running, at_s)
        return sorted(self._longest(KEPT_MAX), key=lambda each: each.since_s)

    def _see(self, session: Activity) -> None:
        waited_s = self._pauses.waited_s(session.pid)
        running = self._active.pop(session.pid, _Active(session, self.revision, waited_s))
        if running.session.query_id is None:
            # The server shows a statement's text a moment before it has worked out its id.
            known = replace(running.session, query_id=session.query_id)
            running = replace(running, session=known)
        if session.state == "active":
            self._active[session.pid] = running
        else:
            self._ended[session.pid] = session.began_s
            self._end(running, session.changed_s)

    def _end(self, running: _Active, at_s: float) -> None:
        session, revision = running.session, running.revision
        text = " ".join(session.text.split())[:TEXT_MAX_CHARS]
        waited_s = self._pauses.waited_s(session.pid) - running.waited_s
        elapsed_s = max(0.0, at_s - session.began_s - waited_s)
        ran = Ran(text, session.query_id, revision, session.began_s, elapsed_s)
        known = self._ran.get((text, revision))
        if known is None or known.elapsed_s < elapsed_s:
            self._ran[text, revision] = replace(ran, since_s=known.since_s) if known else ran
        if len(self._ran) > TRACKED_MAX:
            kept = self._longest(TRACKED_MAX // 2)
            self._ran = {(each.text, each.revision): each for each in kept}

    def _longest(self, count: int) -> list[Ran]:
        return sorted(self._ran.values(), key=lambda each: -each.elapsed_s)[:count]
