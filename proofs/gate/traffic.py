"""Owns the row about a migration among an application's traffic, and plain Alembic beside it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from proofs.gate.ground import CLIENTS, LIGHT, RATE, ROWS_COUNT, Felt, Ground, adding, ground
from proofs.table import Context, Outcome, Row
from shippyard.migration.spec import Expected
from shippyard.migration.supervise import Ending
from shippyard.postgres.target import Target

AFTER_S = 1.5
STALL_MS = 300.0
P99_TIMES = 2.0
ATTEMPTS = 3
SHARE = 0.95

BUSY = f"""\\set n random(1, {ROWS_COUNT})
BEGIN;
SELECT balance FROM accounts WHERE id = :n;
\\sleep 40 ms
UPDATE accounts SET balance = balance + 1 WHERE id = :n;
END;
"""


def lock_traffic(context: Context) -> Outcome:
    """Behind an old transaction, and among many short ones."""
    hold_s = context.count(full=20, quick=2)
    # a rehearsal's word in every other turn; in a quick look, which has one, it counts
    turns = (0, 1, 2) if not context.quick else (1,)
    with ground(context) as made:
        results = [_behind_an_old_one(made, turn, hold_s) for turn in turns]
        plain = _felt_with_plain(made, hold_s)
        took = _among_short_ones(made, context.count(full=40, quick=2))
    within = sum(attempts <= ATTEMPTS for attempts in took)
    ours = max((felt for felt, _, _ in results), key=lambda felt: felt.p99_ms)
    problems = [each for result in results for each in _problems(*result)]
    if within < SHARE * len(took):
        problems.append(f"the lock was got within {ATTEMPTS} attempts in {within} of {len(took)}")
    base = next(base for felt, base, _ in results if felt is ours)
    measured = (
        f"worst of {len(turns)}: {ours}; without a migration: {base}; lock within {ATTEMPTS} "
        f"attempts in {within} of {len(took)} (at most {max(took)}); plain alembic: {plain}"
    )
    return Outcome(measured, not problems, "; ".join(problems))


def _problems(felt: Felt, base: Felt, ending: Ending) -> Iterator[str]:
    if ending.outcome != "applied":
        yield f"{ending.outcome}: {ending.message}"
    if felt.over:
        yield f"{felt.over} transactions over 1 s"
    if felt.stall_ms > STALL_MS:
        yield f"a stall of {felt.stall_ms:.0f} ms"
    if felt.p99_ms > P99_TIMES * base.p99_ms:
        yield f"p99 {felt.p99_ms:.0f} ms, without a migration {base.p99_ms:.0f} ms"


def _behind_an_old_one(made: Ground, turn: int, hold_s: float) -> tuple[Felt, Felt, Ending]:
    """The same traffic and the same old transaction, without and with a run.

    In every other turn the runner knows from a rehearsal what it will lock.
    """
    with _held(made.target, hold_s) as gone, made.traffic(f"base{turn}", LIGHT, RATE) as base:
        gone.wait(hold_s + 1)
        time.sleep(AFTER_S)
    prepared = made.prepared({"001": adding(f"behind{turn}")})
    locks = {"001": {"public.accounts": "AccessExclusiveLock"}} if turn % 2 else {}
    with made.traffic(f"ours{turn}", LIGHT, RATE) as felt, _held(made.target, hold_s):
        ending, _ = made.run(prepared, expected=Expected(locks=locks))
        time.sleep(AFTER_S)
    return felt[0], base[0], ending


def _felt_with_plain(made: Ground, hold_s: float) -> Felt:
    with made.traffic("plain", LIGHT, RATE) as felt, _held(made.target, hold_s):
        status = made.plain({"001": adding("plainly")})
        assert status == 0, "plain alembic did not go through"
        time.sleep(AFTER_S)
    return felt[0]


def _among_short_ones(made: Ground, runs: int) -> list[int]:
    """How many attempts each of so many runs needed, among transactions of 40 ms."""
    names = [f"{number:03d}" for number in range(1, runs + 1)]
    prepared = made.prepared({name: adding(f"short{name}") for name in names})
    took = []
    with made.traffic("short", BUSY, None):
        for step in prepared.rest:
            ending, events = made.run(prepared, steps=(step,))
            done = [e["attempt"] for e in events if e["event"] == "revision_done"]
            assert done, f"{ending.outcome}: {ending.message}"
            took.append(int(done[0]))
    return took


@contextmanager
def _held(target: Target, seconds: float) -> Iterator[threading.Event]:
    """An application's transaction that has read the table, and stays open for a while."""
    gone = threading.Event()
    opened = psycopg.connect(**target.conninfo(), application_name="proof-report")
    opened.execute("SELECT count(*) FROM accounts")

    def let_go() -> None:
        opened.rollback()
        gone.set()

    timer = threading.Timer(seconds, let_go)
    timer.start()
    try:
        yield gone
    finally:
        timer.join(seconds + 5)
        opened.close()


ROWS: tuple[Row, ...] = (
    Row(
        "lock-traffic",
        f"a migration among {CLIENTS} clients at {RATE} transactions a second, a transaction of "
        "20 s in its way; then among transactions of 40 ms",
        f"0 over 1 s, stall ≤ {STALL_MS:.0f} ms, p99 ≤ {P99_TIMES:g} times without; lock within "
        f"{ATTEMPTS} attempts in ≥ {SHARE:.0%}",
        lock_traffic,
        alone=True,
    ),
)
