"""Proves that every check gets its answer: on each major, at the role it names, beside open DDL."""

import contextlib
import os
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from bench.crowd import DATABASE as CROWDED
from bench.crowd import Crowd, connect, crowd, watcher
from proofs.rig import DATABASE, Rig, Scrape, configuration
from proofs.table import Context, CouldNotRun, Outcome, Row
from proofs.waiting import until
from proofs.witness import Pager, ServiceManager
from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster

MATRIX_TIMEOUT_S = 600.0
SCRAPES, QUICK_SCRAPES = 300, 40
SCRAPE_EVERY_S = 0.1
SCRAPE_GOAL_MS = 50.0
ASKED_WITHIN_S = 60.0
MONITOR = "watcher"
SHOWN = 5  # of what is wrong; the rest is counted

LAST_SUCCESS = "shippyard_health_check_last_success_timestamp_seconds"
ERRORS = "shippyard_health_check_errors_total"
LACKS = "shippyard_health_check_unavailable"


def checks_matrix(context: Context) -> Outcome:
    """What `make test-matrix` runs, with its counts."""
    report = context.folder / "matrix.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "tests/matrix", f"--junit-xml={report}"]
    done = Processes().run(argv, timeout_s=MATRIX_TIMEOUT_S, cwd=context.root, env=dict(os.environ))
    if not report.exists():
        return Outcome("-", ok=False, note=done.reason())
    cases = list(ET.parse(report).iter("testcase"))
    if missing := [_said(case, "skipped") for case in cases if case.find("skipped") is not None]:
        raise CouldNotRun(missing[0])
    wrong = [case for case in cases if _failed(case)]
    named = [f"{case.get('name')}: {_said(case, 'failure')}" for case in wrong]
    measured = f"{len(cases)} questions on PostgreSQL 15, 17, 18: {len(wrong)} errors"
    return Outcome(measured, ok=bool(cases) and not wrong, note="; ".join(named[:SHOWN]))


def _failed(case: ET.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def _said(case: ET.Element, tag: str) -> str:
    found = case.find(tag)
    return (found.get("message") or "").splitlines()[0] if found is not None else "error"


def alter_open(context: Context) -> Outcome:
    """One ALTER TABLE is not committed while a daemon asks everything, and is scraped."""
    size = Crowd(200, 500, 0) if context.quick else Crowd(2000, 5000, 0)
    with _watched(context, size) as (stage, cluster), connect(cluster.target(CROWDED)) as holder:
        holder.execute("BEGIN")
        holder.execute("ALTER TABLE t7 ADD COLUMN more int")
        stage.start()
        asked = {check.name for check in _asked(holder.info.server_version)}
        until(lambda: asked <= _answered(stage.scrape()), ASKED_WITHIN_S, "every check answered")
        scrapes = _scraped(stage, context.count(full=SCRAPES, quick=QUICK_SCRAPES))
        problems = _problems(scrapes[-1])
    took_ms = sorted(each.elapsed_ms for each in scrapes)
    p99_ms = took_ms[int(len(took_ms) * 0.99)]
    series = len(scrapes[-1].series("shippyard_"))
    measured = (
        f"{size.tables:,} tables, one ALTER TABLE open: {len(asked)} checks answered, "
        f"{len(problems)} errors; {len(scrapes)} scrapes: p50 {took_ms[len(took_ms) // 2]:.1f} ms, "
        f"p99 {p99_ms:.1f}, slowest {took_ms[-1]:.1f}; {series} series"
    )
    in_time = p99_ms <= SCRAPE_GOAL_MS or context.quick
    return Outcome(measured, ok=in_time and not problems, note="; ".join(problems[:SHOWN]))


@contextlib.contextmanager
def _watched(context: Context, size: Crowd) -> Iterator[tuple[Rig, EmbeddedCluster]]:
    """A daemon ready to be started as a monitor of the crowded database."""
    processes = Processes()
    with contextlib.ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(crowd(context.folder / "postgres", processes, size))
        watcher(cluster, MONITOR)
        pager = Pager()
        undo.callback(pager.close)
        manager = ServiceManager(context.folder / "notify.sock")
        undo.callback(manager.close)
        document = configuration(context.folder, cluster, pager)
        document["databases"][0] |= {"dbname": CROWDED, "monitor": {"user": MONITOR}}
        made = Rig(context.folder, cluster, pager, manager, document)
        undo.callback(made.stop)
        yield made, cluster


def _scraped(stage: Rig, count: int) -> list[Scrape]:
    """One after the other, as several Prometheus servers and a person would."""
    scrapes = []
    for _ in range(count):
        scrapes.append(stage.scrape())
        time.sleep(SCRAPE_EVERY_S)
    return scrapes


def _asked(server_version: int) -> list[Check]:
    return [check for check in load_checks(Health()) if check.applies_to(server_version)]


def _answered(scrape: Scrape) -> set[str]:
    lines = scrape.series(LAST_SUCCESS, f'database="{DATABASE}"')
    return {line.split('check="', 1)[1].split('"', 1)[0] for line in lines}


def _problems(scrape: Scrape) -> list[str]:
    """Checks that failed even once, or lack something."""
    lines = [line for name in (ERRORS, LACKS) for line in scrape.series(name + "{")]
    return [line for line in lines if float(line.rsplit(" ", 1)[1]) > 0]


ROWS = (
    Row(
        "checks-matrix",
        "Every check at the role it names, on PostgreSQL 15, 17 and 18, primary and standby",
        "no error",
        checks_matrix,
    ),
    Row(
        "alter-open",
        "2,000 tables, one ALTER TABLE not committed: every check succeeds, and scrapes go on",
        f"no error, p99 ≤ {SCRAPE_GOAL_MS:g} ms",
        alter_open,
        alone=True,
    ),
)
