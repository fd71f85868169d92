"""Proves that much trouble is one page: a convoy whose root changes, and a thousand findings."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from proofs.paging.ledger import count_deliveries
from proofs.paging.receivers import Desk, Kept, incidents_of
from proofs.paging.stage import RULE, Troubles, linger, stage, state_of, troubles
from proofs.rig import Rig
from proofs.table import Context, Outcome, Row

CONVOY_S, QUICK_CONVOY_S = 600, 25
HELD_S = 2.0
CREW = 8
BLOCKED = "blocked"
RESOLVED_WITHIN_S = 20.0
AFTER_S = 3.0

FINDINGS = 1_000
STORM_S, QUICK_STORM_S = 120, 6
CHURN_S = 1.0
GROWTH_GOAL_MIB = 64.0
DELIVERIES_MAX = 4
"""A page and its end, by two routes."""
PAGE_BYTES = 4096


@dataclass
class Convoy:
    """Sessions that want one table, each for some seconds; `roots` is who held it, in order."""

    roots: list[int] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def join(self, made: Rig) -> None:
        """Wait in line, hold, let go, and join again at the end of the line."""
        with suppress(psycopg.Error), made.connect("convoy") as session:
            while not self.over.is_set():
                with session.transaction():
                    session.execute("LOCK TABLE freight IN ACCESS EXCLUSIVE MODE")
                    self.roots.append(session.info.backend_pid)
                    self.over.wait(HELD_S)

    @property
    def changes(self) -> int:
        """How often somebody else became the root."""
        pairs = zip(self.roots, self.roots[1:], strict=False)
        return sum(1 for earlier, later in pairs if earlier != later)


@contextmanager
def _convoy(made: Rig) -> Iterator[Convoy]:
    with made.connect() as connection:
        connection.execute("CREATE TABLE freight (id int)")
    convoy = Convoy()
    threads = [threading.Thread(target=convoy.join, args=(made,), daemon=True) for _ in range(CREW)]
    for thread in threads:
        thread.start()
    try:
        yield convoy
    finally:
        convoy.over.set()
        for thread in threads:
            thread.join(15)


def convoy(context: Context) -> Outcome:
    """Minutes of blocking in which nobody waits for long and the root is another all the time."""
    length_s = context.count(full=CONVOY_S, quick=QUICK_CONVOY_S)
    with stage(context, ("hook", "duty")) as (made, tools):
        made.start()
        with _convoy(made) as line:
            linger(length_s)
            early = incidents_of(tools.hook.kept, "resolve")
        ended = time.monotonic()
        last = tools.hook.kept.wait_for(BLOCKED, "resolve", ended, RESOLVED_WITHIN_S)
        linger(AFTER_S)
        counts = {
            n: _counted(k)
            for n, k in (("webhook", tools.hook.kept), ("PagerDuty", tools.duty.kept))
        }
    enough = line.changes >= length_s / HELD_S * 0.8
    told = ", ".join(f"{name} {pages} and {ends}" for name, (pages, ends) in counts.items())
    measured = (
        f"{length_s} s, the root changed {line.changes} times; pages and resolves: {told}; "
        f"resolved {last.at - ended:.1f} s after the end"
    )
    one = all(count == (1, 1) for count in counts.values())
    return Outcome(measured, enough and one and not early, "" if enough else "too few changes")


@dataclass(frozen=True)
class Stormed:
    """What a thousand findings left behind."""

    before_mib: float
    most_mib: float
    rows: int
    queued: float
    state_mib: float
    counts: Sequence[tuple[int, int]]


def storm(context: Context) -> Outcome:
    """A thousand things found wrong at once, another thousand each second."""
    length_s = context.count(full=STORM_S, quick=QUICK_STORM_S)
    with stage(context, ("hook", "duty")) as (made, tools):
        made.start()
        left = _stormed(made, tools, length_s)
    claims = {
        "one page and one resolve": all(count == (1, 1) for count in left.counts),
        "deliveries bounded": left.rows <= DELIVERIES_MAX,
        "nothing is left in the outbox": left.queued == 0,
        f"at most {GROWTH_GOAL_MIB:g} MiB more": left.most_mib - left.before_mib <= GROWTH_GOAL_MIB,
    }
    (pages, ends), (pages_too, ends_too) = left.counts
    measured = (
        f"{FINDINGS:,} findings, {length_s} s, others each second: {pages} page, {ends} resolve at "
        f"the webhook, {pages_too} and {ends_too} at PagerDuty; {left.rows} rows of deliveries, "
        f"state {left.state_mib:.1f} MiB; memory {left.before_mib:.0f} MiB before, "
        f"{left.most_mib:.0f} at most"
    )
    broken = [claim for claim, holds in claims.items() if not holds]
    return Outcome(measured, not broken, "; ".join(broken))


def _stormed(made: Rig, tools: Desk, length_s: float) -> Stormed:
    heard, before_mib, begun = tools.hook.kept, _rss_mib(made), time.monotonic()
    with troubles(made) as wrong:
        wrong.replace(_thousand(0))
        heard.wait_for(RULE, "trigger", begun, RESOLVED_WITHIN_S)
        most_mib = _churn(made, wrong, length_s)
        wrong.end_all()
        heard.wait_for(RULE, "resolve", time.monotonic(), RESOLVED_WITHIN_S)
        linger(AFTER_S)
    return Stormed(
        before_mib=before_mib,
        most_mib=most_mib,
        rows=count_deliveries(state_of(made)),
        queued=sum(map(_value, made.scrape().series("shippyard_alerting_outbox_messages{"))),
        state_mib=_size_mib(state_of(made)),
        counts=[_counted(heard), _counted(tools.duty.kept)],
    )


def _churn(made: Rig, wrong: Troubles, length_s: float) -> float:
    """Other things each second; the most memory that the daemon held meanwhile."""
    ends, most_mib, turn = time.monotonic() + length_s, 0.0, 0
    while time.monotonic() < ends:
        turn += 1
        wrong.replace(_thousand(turn))
        linger(CHURN_S)
        most_mib = max(most_mib, _rss_mib(made))
    return most_mib


def _thousand(turn: int) -> list[str]:
    return [f"thing-{turn}-{number}" for number in range(FINDINGS)]


def _counted(kept: Kept) -> tuple[int, int]:
    return len(incidents_of(kept, "trigger")), len(incidents_of(kept, "resolve"))


def _rss_mib(made: Rig) -> float:
    assert made.daemon is not None
    resident = int(Path(f"/proc/{made.daemon.pid}/statm").read_text().split()[1])
    return resident * PAGE_BYTES / 2**20


def _size_mib(database: Path) -> float:
    return sum(each.stat().st_size for each in database.parent.glob(f"{database.name}*")) / 2**20


def _value(line: str) -> float:
    return float(line.rsplit(" ", 1)[1])


ROWS = (
    Row(
        "page-convoy",
        "Ten minutes of blocking whose root changes every 2 s",
        "one page, one resolve",
        convoy,
    ),
    Row(
        "page-storm",
        "1,000 findings at once",
        f"one page, deliveries bounded, ≤ {GROWTH_GOAL_MIB:g} MiB more memory",
        storm,
    ),
)
