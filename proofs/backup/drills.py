"""Owns the rows on drills, and of them the one on clean runs, beside a stopwatch.

Each row has a production of its own.
"""

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from proofs.backup.drill_faults import FAULTS, drill_faults
from proofs.backup.drill_meddled import Meddling
from proofs.backup.drill_seeds import SEGMENT_BYTES
from proofs.backup.drill_tablespaces import tablespaces
from proofs.backup.drillyard import BOTH, CLUSTER, FILL, SHOP, Yard, asked, yard
from proofs.table import Context, Outcome, Row
from shippyard.backup.model import Kind
from shippyard.sandbox.model import Sandbox

CLOSE_S = 1.0
FORECAST_RATIO = 0.25
CANARY_S = 0.25
REPEATS = 3
"""Drills of one size; the machine's other work shifts a single one."""


def drill_clean(context: Context) -> Outcome:
    """Drill again and again without a fault, beside a stopwatch; then forecast other sizes."""
    runs = context.count(full=100, quick=3)
    problems: list[str] = []
    with yard(context.folder) as y, y.receiving(), _beating(y):
        y.run(*FILL)
        kinds: tuple[Kind, ...] = ("dump", "schema", "base")
        for kind in kinds:
            y.back_up(kind)
        offs = [_timed(y, kinds[number % 3], problems) for number in range(runs)]
        late = [] if context.quick else _forecasts(y, context)
    rto_off, rpo_off = max(rto for rto, _ in offs), max(rpo for _, rpo in offs)
    if late and max(late) > FORECAST_RATIO:
        problems.append(f"a forecast was off by {max(late):.0%}")
    if rto_off > CLOSE_S or rpo_off > CLOSE_S:
        problems.append("the exported times are not those of the stopwatch")
    said = ""
    if late:
        said = f", forecasts off by {statistics.median(late):.0%}, at most {max(late):.0%}"
    measured = (
        f"{runs - len([p for p in problems if 'drill' in p])} of {runs} passed; RTO off by "
        f"{rto_off:.2f} s at most, RPO by {rpo_off:.2f} s{said}"
    )
    return Outcome(measured, ok=not problems, note="; ".join(problems[:4]))


@contextlib.contextmanager
def _beating(y: Yard) -> Iterator[None]:
    """The canary and a witness beside it, written often; both know only the clock."""
    y.run("CREATE TABLE witness (at timestamptz)")
    y.canary.write()
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(CANARY_S):
            y.canary.write()
            y.run("INSERT INTO witness VALUES (clock_timestamp())")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _timed(y: Yard, kind: Kind, problems: list[str]) -> tuple[float, float]:
    """One drill; how far what is exported of it is from an outside stopwatch: time and loss."""
    ready: list[float] = []
    newest: list[datetime] = []

    def progress(fields: Any) -> None:
        if fields["phase"] == "check" and not ready:
            ready.append(time.monotonic())

    def look(sandbox: Sandbox) -> None:
        rows = asked(sandbox.target(SHOP).conninfo(), "SELECT max(at) FROM witness")
        newest.append(rows[0][0])

    drills = y.build_drills(host=Meddling(y.host, look)) if kind == "base" else y.drills
    begun, wall = time.monotonic(), y.clock.now()
    drill = drills.run(CLUSTER if kind == "base" else SHOP, kind, progress=progress)
    if drill.outcome != "passed":
        problems.append(f"drill of {kind}: {drill.error}")
        return 0.0, 0.0
    labels = {"database": drill.database, "kind": kind}
    rto = _exported(y, "rto_seconds", {**labels, "phase": "total"})
    rpo = _exported(y, "rpo_seconds", {**labels, "loss": "cluster"})
    until_ = newest[0] if newest else y.service.find(drill.backup_id).started_at
    lost = (wall - until_).total_seconds()
    return abs(rto - (ready[0] - begun)), abs(rpo - max(0.0, lost))


def _exported(y: Yard, name: str, labels: dict[str, str]) -> float:
    value = y.metrics.registry.get_sample_value(f"shippyard_backup_drill_{name}", labels)
    assert value is not None, f"{name} is not exported"
    return value


def _took(y: Yard, kind: Kind) -> float:
    drill = y.drill(kind)
    assert drill.rto_s, f"{drill.backup_id}: {drill.error}"
    return drill.rto_s


def _forecasts(y: Yard, context: Context) -> list[float]:
    """Grow the database; each size is forecast from the smaller ones before it is drilled."""
    off: list[float] = []
    for step, rows in enumerate((150_000, 300_000, 600_000, 900_000)):
        y.run(
            "TRUNCATE goods",
            "INSERT INTO goods SELECT n, md5(n::text) || md5((n + 1)::text), n % 97"
            f" FROM generate_series(1, {rows}) n",
            "CHECKPOINT",
        )
        for kind in BOTH:
            backup = y.back_up(kind)
            y.wait_received()
            wal_bytes = SEGMENT_BYTES
            told = y.drills.forecast(
                backup.database, backup.kind, backup.size_bytes or 0, wal_bytes
            )
            assert told, "nothing is forecast"
            took = statistics.median(_took(y, backup.kind) for _ in range(REPEATS))
            context.say(f"{kind} of {rows} rows: forecast {told:.2f} s, took {took:.2f} s")
            if step >= 2:  # two sizes make a line
                off.append(abs(told - took) / took)
    return off


ROWS: tuple[Row, ...] = (
    Row(
        "tablespaces",
        "Drills leave production's files and slots alone",
        "two tablespaces and a subscription unchanged after 20 drills",
        tablespaces,
    ),
    Row(
        "drill-faults",
        "A drill fails on every seeded fault",
        f"{len(FAULTS)} of {len(FAULTS)} found, clean ones pass",
        drill_faults,
    ),
    Row(
        "drill-clean",
        "Clean drills pass, and measure what a stopwatch measures",
        "100 of 100; RTO and RPO within 1 s, forecast within 25 %",
        drill_clean,
        alone=True,
    ),
)
