"""Owns where receiving goes on from: after what is kept, across timelines. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from shippyard.backup.wal.names import Segment, Switch, format_lsn, segment_at


class ServerBehind(Exception):
    """The server is not as far as what is kept of it: it was set back, or it is another one."""


@dataclass(frozen=True)
class Server:
    """What decides: the server's timeline with its ancestors, and how far it is."""

    timeline: int
    flushed: int
    history: tuple[Switch, ...]
    segment_bytes: int


def begin_at(
    server: Server, needed: Segment | None, held_timelines: Collection[int]
) -> Segment | None:
    """The segment to receive first; None to let the slot decide, because nothing is kept.

    `needed` is the one that is being received, or follows the last complete one.

    Raises:
        ServerBehind: what is kept is ahead of the server.
    """
    if needed is None:
        return None
    line = _line(server)
    switch_at = {timeline: lsn for timeline, lsn in line if lsn is not None}
    if needed.timeline == server.timeline:
        if needed.begins(server.segment_bytes) > server.flushed:
            raise ServerBehind(_behind(server, needed))
        return needed
    if needed.timeline in switch_at:
        # At its very end a timeline gives nothing, and pg_receivewal would not get past it.
        if needed.begins(server.segment_bytes) < switch_at[needed.timeline]:
            return needed
        return _after(server, needed.timeline)
    if needed.timeline > server.timeline:
        raise ServerBehind(_behind(server, needed))
    shared = [timeline for timeline in switch_at if timeline in held_timelines]
    return _after(server, max(shared)) if shared else None


def _line(server: Server) -> list[tuple[int, int | None]]:
    """Timelines that lead to the server's, each with where it was left."""
    ancestors: list[tuple[int, int | None]] = [(s.timeline, s.lsn) for s in server.history]
    return [*ancestors, (server.timeline, None)]


def _after(server: Server, timeline: int) -> Segment:
    """Where the timeline that follows begins: its first segment repeats the one before."""
    line = _line(server)
    place = next(i for i, (each, _) in enumerate(line) if each == timeline)
    left_at = line[place][1]
    assert left_at is not None, "the server's own timeline was not left"
    return segment_at(line[place + 1][0], left_at, server.segment_bytes)


def _behind(server: Server, needed: Segment) -> str:
    return (
        f"the server is at {format_lsn(server.flushed)} of timeline {server.timeline}, before "
        f"{needed.name(server.segment_bytes)}, which is to come next; it was set back, or is "
        "another server: take a base backup, then move its wal folder away to begin anew"
    )
