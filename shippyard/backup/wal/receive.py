"""Owns receiving a cluster's WAL: pg_receivewal as a child, started again with growing pauses.

Before each start it is decided where to go on, so that nothing is skipped: what the server no
longer has is declared lost, once, in the archive. One receiver per cluster, by a lock. Everything
it knows is on disk; the daemon only watches.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from shippyard.backup.lock import exclusive
from shippyard.backup.wal.archive import WalArchive, WalRefused
from shippyard.backup.wal.begin import Server, ServerBehind, begin_at
from shippyard.backup.wal.intake import Intake
from shippyard.backup.wal.names import (
    NameInvalid,
    Segment,
    format_lsn,
    parse_history,
    parse_lsn,
    segment_at,
    timeline_of,
)
from shippyard.backup.wal.position import received
from shippyard.backup.wal.record import Identity
from shippyard.backup.wal.status import ReceiverState, ReceiverStatus, write_status
from shippyard.host.clock import Clock
from shippyard.host.process import Child, Processes
from shippyard.host.secrets import mask
from shippyard.postgres.replication import ReplicationSession, Slot, replication_session
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target
from shippyard.postgres.tools import ToolsMissing

TURN_S = 0.2
SAY_S = 1.0
PAUSE_FIRST_S = 0.5
PAUSE_LONGEST_S = 15.0
STEADY_S = 60.0
"""Once it ran this long, the next pause is short again."""

APPLY = "remote_apply"
NEVER_APPLIED = (
    "synchronous_commit is remote_apply: a receiver applies nothing, so every commit would hang; "
    "set synchronous_commit = on"
)

log = structlog.get_logger(__name__)


class ReceiveRefused(Exception):
    """Receiving can't go on until somebody acts; one line says what to do."""


@dataclass(frozen=True)
class Settings:
    """What one receiver is told. `synchronous` says that commits wait for us."""

    cluster: str
    slot: str
    create_slot: bool
    synchronous: bool = False


class Receiver:
    """Receives until stopped. `run` is called once, in the thread that starts the program."""

    def __init__(
        self,
        settings: Settings,
        target: Target,
        archive: WalArchive,
        *,
        program_for: Callable[[int], str],
        processes: Processes,
        clock: Clock,
        on_turn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`program_for` names the pg_receivewal for a server's major, or raises ToolsMissing.

        `on_turn` is told how it is, each time round: the watchdog is fed by it.
        """
        self._settings = settings
        self._target = target
        self._archive = archive
        self._program_for = program_for
        self._program = ""
        self._processes = processes
        self._clock = clock
        self._on_turn = on_turn
        self._intake = Intake(archive)
        self._stop = threading.Event()
        self._pause_s = PAUSE_FIRST_S
        self._segment_bytes = 0
        self._said_at = float("-inf")
        self._status = ReceiverStatus(0, "starting", clock.now())

    def stop(self) -> None:
        """End soon; safe from a signal handler, twice, and before `run`."""
        self._stop.set()

    def run(self, pid: int) -> None:
        """Receive until stopped; `pid` is who we are to those who watch.

        Raises:
            Busy: another process receives for this cluster.
            OSError: the archive can't be written.
        """
        self._archive.prepare()
        with exclusive(
            self._archive.folder / ".receive.lock", f"receiving {self._archive.subject}"
        ):
            self._status = replace(self._status, pid=pid)
            while not self._stop.is_set():
                self._receive_once()
                self._rest()
            with contextlib.suppress(WalRefused):
                self._intake.take(self._clock.now())
            self._say("stopped", None)

    def _receive_once(self) -> None:
        """One life of the program, from the decision where to begin to its end."""
        begun = self._clock.monotonic()
        try:
            self._intake.take(self._clock.now())
            self._make_ready()
            self._stream()
        except (WalRefused, ReceiveRefused, ServerBehind, ToolsMissing) as error:
            self._fail("refused", str(error))
        except (Unreachable, QueryFailed, NameInvalid, OSError) as error:
            self._fail("waiting", mask(str(error)))
        if self._clock.monotonic() - begun > STEADY_S:
            self._pause_s = PAUSE_FIRST_S

    def _make_ready(self) -> None:
        with replication_session(self._target, "wal") as session:
            self._program = self._program_for(session.server_major)
            found = session.identify()
            self._segment_bytes = session.segment_bytes()
            self._archive.learn_identity(Identity(found.system_identifier, self._segment_bytes))
            if self._settings.synchronous and session.show("synchronous_commit") == APPLY:
                raise ReceiveRefused(NEVER_APPLIED)
            slot = self._slot(session)
            server = Server(
                found.timeline,
                parse_lsn(found.flushed),
                parse_history(session.history(found.timeline)),
                self._segment_bytes,
            )
            begin = self._decide(server, slot, session)
        self._intake.begin_at(begin, self._segment_bytes, self._clock.now())

    def _decide(self, server: Server, slot: Slot, session: ReplicationSession) -> Segment | None:
        held = {timeline_of(name) for name in self._archive.kept().entries}
        begin = begin_at(server, self._intake.needed(self._segment_bytes), held)
        if begin is None:
            return None
        lsn = begin.begins(self._segment_bytes)
        if lsn >= server.flushed or session.can_stream(format_lsn(lsn), begin.timeline):
            return begin
        return self._skip(begin, slot, server)

    def _skip(self, wanted: Segment, slot: Slot, server: Server) -> Segment:
        """The server no longer has what comes next: say so for good, and go on where it can."""
        assert slot.restart_lsn is not None, "the slot was made to reserve"
        restart = parse_lsn(slot.restart_lsn)
        onward = segment_at(slot.timeline or server.timeline, restart, self._segment_bytes)
        if onward.number <= wanted.number:
            raise ReceiveRefused(
                f"the server no longer has {wanted.name(self._segment_bytes)}, though slot "
                f"{self._settings.slot} reserves it; look at its pg_wal"
            )
        last = Segment(wanted.timeline, onward.number - 1)
        names = wanted.name(self._segment_bytes), last.name(self._segment_bytes)
        self._archive.declare_lost(*names, self._clock.now())
        log.error("wal.lost", first=names[0], last=names[1], slot=self._settings.slot)
        return onward

    def _slot(self, session: ReplicationSession) -> Slot:
        """The slot, made if we may. One that reserves nothing was lost, or never used."""
        name = self._settings.slot
        slot = session.slot(name)
        if slot and slot.restart_lsn:
            return slot
        if not self._settings.create_slot:
            what = "reserves no WAL: it was lost" if slot else "does not exist"
            raise ReceiveRefused(
                f"slot {name} {what}; run: "
                f"shippyard wal receive {self._settings.cluster} --create-slot"
            )
        if slot:
            session.drop_slot(name)
        session.create_slot(name)
        log.warning("wal.slot_created", slot=name, was_lost=slot is not None)
        made = session.slot(name)
        if made is None or made.restart_lsn is None:
            raise ReceiveRefused(f"slot {name} was made and reserves no WAL; look at the server")
        return made

    def _stream(self) -> None:
        with self._processes.start(
            [
                self._program,
                f"--host={self._target.host}",
                f"--port={self._target.port}",
                f"--username={self._target.user}",
                "--no-password",
                f"--directory={self._archive.receiving}",
                f"--slot={self._settings.slot}",
                "--synchronous",
                "--no-loop",
            ],
            # Its name is what synchronous_standby_names must list.
            env={**self._target.environment(), "PGAPPNAME": self._settings.slot},
        ) as child:
            self._status = replace(self._status, error=None)
            log.info("wal.receiving", cluster=self._settings.cluster, slot=self._settings.slot)
            while child.running and not self._stop.wait(TURN_S):
                self._intake.take(self._clock.now())
                self._tell_position()
            child.end()
            if not self._stop.is_set():
                self._fail("waiting", _reason(child))

    def _tell_position(self) -> None:
        found = received(self._archive.receiving, self._segment_bytes)
        if found:
            self._status = replace(
                self._status,
                timeline=found.timeline,
                received_lsn=format_lsn(found.lsn),
                flushed_at=found.at,
            )
        self._say("streaming", None)

    def _fail(self, state: ReceiverState, reason: str) -> None:
        log.error("wal.not_receiving", cluster=self._settings.cluster, reason=reason)
        self._status = replace(self._status, restarts=self._status.restarts + 1)
        self._say(state, reason)

    def _rest(self) -> None:
        """Wait before the next start, a little longer each time; goes on turning meanwhile."""
        until = self._clock.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, PAUSE_LONGEST_S)
        while not self._stop.wait(TURN_S) and self._clock.monotonic() < until:
            self._on_turn(self._status.error or self._status.state)

    def _say(self, state: ReceiverState, error: str | None) -> None:
        changed = (state, error) != (self._status.state, self._status.error)
        self._status = replace(
            self._status,
            state=state,
            error=error,
            last_segment=self._intake.last_segment or self._status.last_segment,
        )
        self._on_turn(error or f"{state} {self._status.received_lsn or ''}".strip())
        if changed or self._clock.monotonic() - self._said_at >= SAY_S:
            self._said_at = self._clock.monotonic()
            self._status = replace(self._status, updated_at=self._clock.now())
            # A full disk stops receiving, which is told; telling must not stop the receiver.
            with contextlib.suppress(OSError):
                write_status(self._archive.folder, self._status)


def _reason(child: Child) -> str:
    lines = [line.strip() for line in child.stderr_tail().splitlines() if line.strip()]
    return mask(lines[-1]) if lines else "pg_receivewal ended without a word"
