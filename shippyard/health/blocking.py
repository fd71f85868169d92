"""Owns who waits for whom: lock waits as a tree with roots, victims and the command that ends it.

Pure: rows of the check `blocking_edges` go in. Breadth first, so time grows with sessions and
edges, never with paths (a hot row with 500 waiters has more paths than atoms). Cycles end.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shippyard.health.action import ending

PREPARED_PID = 0
ROOTS_WALKED = 20
ROOTS_TOLD = 10
VICTIMS_TOLD = 20
VICTIM_QUERY_CHARS = 256
DRAWN_LINES = 40
DRAWN_CHILDREN = 8
DRAWN_QUERY_CHARS = 60
DEADLOCK = "none needed: a deadlock, which PostgreSQL ends by itself after deadlock_timeout"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Party:
    """One session in a lock wait, as blocker, victim or both. Pid 0 is a prepared transaction.

    `blockers` is empty and `wait_s` None for one that doesn't wait.
    """

    pid: int
    backend_start: datetime | None = None
    database: str | None = None
    user: str | None = None
    application: str | None = None
    state: str | None = None
    state_age_s: float | None = None
    query: str | None = None
    locktype: str | None = None
    mode: str | None = None
    relation: str | None = None
    wait_s: float | None = None
    blockers: tuple[int, ...] = ()

    @property
    def waits_for_ddl(self) -> bool:
        """True for DDL that waits for its table.

        A row's update queues the same mode with locktype `tuple`: that is not DDL.
        """
        return self.mode == "AccessExclusiveLock" and self.locktype == "relation"


@dataclass(frozen=True)
class Root:
    """One session that others wait for and that itself waits for nobody.

    `victims` are pids, nearest first, counting those who wait through others. `depth` is how many
    steps away the farthest is. In a deadlock nobody is free: one member stands for its cycle.
    """

    party: Party
    victims: tuple[int, ...]
    depth: int
    longest_wait_s: float
    is_deadlock: bool

    @property
    def action(self) -> str:
        """What ends the wait."""
        if self.is_deadlock:
            return DEADLOCK
        return ending(self.party.pid, self.party.backend_start, self.party.state)


@dataclass(frozen=True)
class DdlQueue:
    """DDL that waits for a table, and how many wait only because it is ahead of them."""

    party: Party
    queued_behind: int


@dataclass(frozen=True)
class Tree:
    """Everyone in a lock wait. `roots` holds the 20 gravest of `roots_total`, gravest first.

    `waiters` are pids by the pid they wait for, longest waits first, as `victims` are.
    """

    parties: Mapping[int, Party]
    waiters: Mapping[int, Sequence[int]]
    roots: tuple[Root, ...]
    roots_total: int
    victims: tuple[Party, ...]
    ddl_queues: tuple[DdlQueue, ...]

    @property
    def longest_wait_s(self) -> float:
        """Of all victims; 0 without any."""
        return max((victim.wait_s or 0.0 for victim in self.victims), default=0.0)

    @property
    def depth(self) -> int:
        """Of the deepest root; 0 without any."""
        return max((root.depth for root in self.roots), default=0)


def tree_of(rows: Iterable[Row]) -> Tree:
    """The tree that the edges make. Waiters whose lock has just been granted are left out."""
    parties = _parties(rows)
    waiting = (party for party in parties.values() if party.blockers)
    victims = sorted(waiting, key=lambda victim: (-(victim.wait_s or 0.0), victim.pid))
    waiters = _waiters_by_blocker(victims)
    free = [pid for pid in waiters if not parties[pid].blockers]
    cycles = _one_of_each_cycle(parties, waiters, free)
    gravest = sorted([*free, *cycles], key=lambda pid: (-len(waiters[pid]), pid))[:ROOTS_WALKED]
    roots = [_root(parties, waiters, pid) for pid in gravest]
    return Tree(
        parties,
        waiters,
        tuple(sorted(roots, key=lambda r: (-len(r.victims), -r.longest_wait_s, r.party.pid))),
        len(free) + len(cycles),
        tuple(victims),
        _ddl_queues(victims, waiters),
    )


def _parties(rows: Iterable[Row]) -> dict[int, Party]:
    seen = {party.pid: party for party in map(_party, rows)}
    # A blocker may end between the look at the locks and the look at the sessions.
    gone = {pid for party in seen.values() for pid in party.blockers if pid not in seen}
    return seen | {pid: Party(pid) for pid in gone}


def _party(row: Row) -> Party:
    return Party(
        pid=row["pid"],
        backend_start=row["backend_start"],
        database=row["datname"],
        user=row["usename"],
        application=row["application_name"],
        state=row["state"],
        state_age_s=row["state_age_s"],
        query=row["query"],
        locktype=row["locktype"],
        mode=row["mode"],
        relation=row["relation"],
        wait_s=row["wait_s"],
        blockers=_each_once(row["blockers"]),
    )


def _each_once(blockers: Sequence[int]) -> tuple[int, ...]:
    """Workers of a parallel query are each told as their leader: rare, and rows may be long."""
    is_each_once = len(set(blockers)) == len(blockers)
    return tuple(blockers) if is_each_once else tuple(dict.fromkeys(blockers))


def _waiters_by_blocker(victims: Iterable[Party]) -> dict[int, list[int]]:
    waiters: defaultdict[int, list[int]] = defaultdict(list)
    for victim in victims:
        pid = victim.pid
        for blocker in victim.blockers:
            waiters[blocker].append(pid)
    return dict(waiters)


def _depths(waiters: Mapping[int, Sequence[int]], starts: Iterable[int]) -> dict[int, int]:
    """Every pid reached from `starts` with its distance, in the order it is reached."""
    depths = dict.fromkeys(starts, 0)
    queue = deque(depths)
    while queue:
        pid = queue.popleft()
        for waiter in waiters.get(pid, ()):
            if waiter not in depths:
                depths[waiter] = depths[pid] + 1
                queue.append(waiter)
    return depths


def _one_of_each_cycle(
    parties: Mapping[int, Party], waiters: Mapping[int, Sequence[int]], free: Iterable[int]
) -> list[int]:
    """A member of each cycle that no free session explains."""
    explained = set(_depths(waiters, free))
    members = []
    for pid, party in parties.items():
        if party.blockers and pid not in explained:
            member = _upstream_cycle(parties, pid, explained)
            members.append(member)
            explained.update(_depths(waiters, [member]))
    return members


def _upstream_cycle(parties: Mapping[int, Party], start: int, explained: set[int]) -> int:
    """Walk from blocker to blocker until one comes again: that one is on a cycle."""
    passed = set()
    pid = start
    while pid not in passed:
        passed.add(pid)
        pid = next(blocker for blocker in parties[pid].blockers if blocker not in explained)
    return pid


def _root(parties: Mapping[int, Party], waiters: Mapping[int, Sequence[int]], pid: int) -> Root:
    depths = _depths(waiters, [pid])
    victims = tuple(reached for reached in depths if reached != pid)
    party = parties[pid]
    in_wait = [*victims, pid] if party.blockers else victims
    return Root(
        party,
        victims,
        max(depths.values()),
        max((parties[victim].wait_s or 0.0 for victim in in_wait), default=0.0),
        is_deadlock=bool(party.blockers),
    )


def _ddl_queues(
    victims: Iterable[Party], waiters: Mapping[int, Sequence[int]]
) -> tuple[DdlQueue, ...]:
    queues = [DdlQueue(v, len(waiters.get(v.pid, ()))) for v in victims if v.waits_for_ddl]
    return tuple(sorted(queues, key=lambda queue: (-queue.queued_behind, queue.party.pid)))


# What is said about a tree.


def evidence_of(tree: Tree) -> dict[str, Any]:
    """The tree in JSON, bounded: the gravest roots, the longest waits, and a drawing."""
    return {
        "action": tree.roots[0].action if tree.roots else None,
        "roots": [_root_told(root) for root in tree.roots[:ROOTS_TOLD]],
        "roots_total": tree.roots_total,
        "victims": [_victim_told(victim) for victim in tree.victims[:VICTIMS_TOLD]],
        "victims_total": len(tree.victims),
        "ddl_queues": [_queue_told(queue) for queue in tree.ddl_queues[:ROOTS_TOLD]],
        "tree": draw(tree),
    }


def facts_of(tree: Tree) -> dict[str, Any]:
    """The tree's figures, and words about its gravest root for the summary."""
    gravest = tree.roots[0] if tree.roots else None
    return {
        "blocked_sessions": len(tree.victims),
        "blocking_roots": tree.roots_total,
        "longest_wait_s": tree.longest_wait_s,
        "depth": tree.depth,
        "ddl_waiting": len(tree.ddl_queues),
        "root": _described(gravest.party) if gravest else None,
        "victims": len(gravest.victims) if gravest else 0,
        "action": gravest.action if gravest else None,
        "ddl_hint": _ddl_hint(tree),
    }


def _root_told(root: Root) -> dict[str, Any]:
    return {
        **_session_told(root.party),
        "state": root.party.state,
        "query": root.party.query,
        "victims": len(root.victims),
        "depth": root.depth,
        "longest_wait_s": round(root.longest_wait_s, 3),
        "action": root.action,
    }


def _victim_told(victim: Party) -> dict[str, Any]:
    return {
        **_session_told(victim),
        "query": (victim.query or "")[:VICTIM_QUERY_CHARS],
        "wait_s": round(victim.wait_s or 0.0, 3),
        "waits_for": _wanted(victim),
        "blockers": list(victim.blockers[:ROOTS_TOLD]),
    }


def _queue_told(queue: DdlQueue) -> dict[str, Any]:
    party = queue.party
    return {
        **_session_told(party),
        "relation": party.relation,
        "queued_behind": queue.queued_behind,
        "action": ending(party.pid, party.backend_start, party.state),
    }


def _session_told(party: Party) -> dict[str, Any]:
    return {
        "pid": party.pid,
        "backend_start": party.backend_start.isoformat() if party.backend_start else None,
        "database": party.database,
        "user": party.user,
        "application": party.application,
    }


def _ddl_hint(tree: Tree) -> str:
    worst = tree.ddl_queues[0] if tree.ddl_queues else None
    if worst is None or not worst.queued_behind:
        return ""
    return (
        f" DDL of pid {worst.party.pid} on {worst.party.relation} waits too and "
        f"{worst.queued_behind} queue behind it; cancelling it lets those pass."
    )


def _described(party: Party) -> str:
    if party.pid == PREPARED_PID:
        return "a prepared transaction"
    who = " ".join(word for word in (party.user, _bracketed(party.application)) if word)
    age = "" if party.state_age_s is None else f" for {party.state_age_s:.0f} s"
    return f"pid {party.pid} {who or 'unknown'}, {party.state or 'already gone'}{age}"


def _bracketed(text: str | None) -> str:
    return f"({text})" if text else ""


def _wanted(party: Party) -> str:
    return f"{party.mode} on {party.relation or party.locktype}"


_Branch = tuple[str, str, int | None]
"""What stands before a line, what stands before the lines below it, and whose line it is."""


def draw(tree: Tree) -> str:
    """The tree as text, at most 40 lines; each session stands once, under its nearest root."""
    children = _nearest_children(tree)
    lines: list[str] = []
    # A stack, not recursion: a chain may be a thousand sessions long.
    stack: list[_Branch] = [("", "", root.party.pid) for root in reversed(tree.roots)]
    while stack and len(lines) < DRAWN_LINES:
        lead, indent, pid = stack.pop()
        if pid is None:
            lines.append(lead)
            continue
        lines.append(lead + _line(tree.parties[pid], is_root=not lead))
        stack.extend(reversed(_branches(indent, children.get(pid, []))))
    if stack:
        lines.append(f"… {len(tree.victims)} sessions wait in all")
    return "\n".join(lines)


def _nearest_children(tree: Tree) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    placed = {root.party.pid for root in tree.roots}
    for pid in _depths(tree.waiters, [root.party.pid for root in tree.roots]):
        for waiter in tree.waiters.get(pid, ()):
            if waiter not in placed:
                placed.add(waiter)
                children.setdefault(pid, []).append(waiter)
    return children


def _branches(indent: str, pids: Sequence[int]) -> list[_Branch]:
    shown, hidden = pids[:DRAWN_CHILDREN], len(pids) - DRAWN_CHILDREN
    branches: list[_Branch] = [(f"{indent}├─ ", f"{indent}│  ", pid) for pid in shown]
    if hidden > 0:
        branches.append((f"{indent}└─ … and {hidden} more", "", None))
    elif branches:
        branches[-1] = (f"{indent}└─ ", f"{indent}   ", shown[-1])
    return branches


def _line(party: Party, *, is_root: bool) -> str:
    query = " ".join((party.query or "").split())[:DRAWN_QUERY_CHARS]
    said = _described(party) if is_root else _waiting(party)
    return f"{said}: {query}" if query else said


def _waiting(party: Party) -> str:
    who = " ".join(w for w in (party.user, _bracketed(party.application)) if w)
    return (
        f"pid {party.pid} {who or 'unknown'} waits {party.wait_s or 0:.1f} s for {_wanted(party)}"
    )
