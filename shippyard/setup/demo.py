"""Owns the tour: each step of the loop, on a real PostgreSQL, through the real daemon.

A step does one thing a person would want to watch, checks that it really happened, and gives one
line of evidence. How the steps are shown is the command's business.
"""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from shippyard.control.client import CallFailed
from shippyard.setup.bootstrap.model import BootstrapRefused
from shippyard.setup.receiver import Page
from shippyard.setup.seed import load_seeds
from shippyard.setup.stage import DATABASE, MIGRATOR, SIGNAL, Stage, StageFailed
from shippyard.setup.workload import Workload

PAGE_TIMEOUT_S = 25.0
RESOLVE_TIMEOUT_S = 15.0
SCRAPE_TIMEOUT_S = 5.0
VICTIMS = 3
BUSY_TRANSACTIONS = 20
KINDS = ("dump", "schema")
UNTOLD = frozenset({"locked", "preflight", "exited", "fsynced", "manifested"})
"""Phases of a backup that pass too quickly to be worth a line."""

Tell = Callable[[str], None]
"""Shows one more line about the step under way."""


@dataclass(frozen=True)
class Step:
    """One thing to watch. `act` gives the evidence, or raises and the tour is over."""

    name: str
    act: Callable[[Tell], str]


class StepFailed(Exception):
    """A step's claim did not hold; the message says what was seen instead."""


EXPECTED = (StepFailed, StageFailed, BootstrapRefused, CallFailed, psycopg.Error, OSError)


class Tour:
    """The steps in order, on one stage."""

    def __init__(self, stage: Stage, migrations: Path) -> None:
        self._stage = stage
        self._migrations = migrations
        self._workload: Workload | None = None

    def steps(self) -> tuple[Step, ...]:
        """What will be shown."""
        return (
            Step("start a PostgreSQL", self._start_cluster),
            Step("start the daemon", self._start_daemon),
            Step("migrate through the gate", self._migrate),
            Step("load seeds", self._load_seeds),
            Step("run a workload", self._start_workload),
            Step("back up and verify", self._back_up),
            Step("page a blocked query", self._show_block),
            Step("page a long-running query", self._show_long_query),
            Step("scrape metrics", self._scrape),
        )

    def close(self) -> None:
        """End the workload; safe to call twice."""
        if self._workload:
            self._workload.stop()

    @property
    def metrics_url(self) -> str:
        """Where Prometheus would scrape."""
        return str(self._stage.client.call("status", {})["metrics_url"])

    def _start_cluster(self, tell: Tell) -> str:
        tools = self._stage.raise_cluster()
        statements = self._stage.make_roles(self._migrations)
        tell(f"PostgreSQL {tools.major} on a unix socket")
        tell(f"bootstrap: {statements} statements made the database, its roles and their rights")
        return f"PostgreSQL {tools.major} from {tools.bin_dir}"

    def _start_daemon(self, tell: Tell) -> str:
        self._stage.start_daemon()
        status = self._stage.client.call("status", {})
        tell(f"socket {self._stage.socket}")
        return f"pid {status['pid']}, {status['metrics_url']}"

    def _migrate(self, tell: Tell) -> str:
        client = self._stage.client
        plan = client.call("migrate.plan", {"database": DATABASE})
        for verdict in plan["verdicts"]:
            tell(f"gate {verdict['gate']}: {verdict['verdict']} ({verdict['summary']})")
        params = {"database": DATABASE, "content_hash": plan["content_hash"]}
        run = client.call("migrate.run", params, on_progress=_phases(tell))
        _expect(run["state"] == "done", f"the run ended {run['state']}: {run['error']}")
        return f"base → {run['to_revision']}, backup {run['backup_id']} taken first"

    def _load_seeds(self, tell: Tell) -> str:
        results = load_seeds(self._stage.target(), "development", self._migrations / "seeds")
        for result in results:
            tell(f"{result.file}: {result.rows} rows")
        return f"{sum(result.rows for result in results)} rows from {len(results)} files"

    def _start_workload(self, tell: Tell) -> str:
        workload = self._workload = Workload(self._stage.target())
        workload.start()
        _wait(lambda: workload.transactions >= BUSY_TRANSACTIONS or workload.error, 10.0)
        _expect(workload.error is None, f"the workload failed: {workload.error}")
        tell("an application reads and writes shipments")
        return f"{workload.transactions} transactions so far"

    def _back_up(self, tell: Tell) -> str:
        params = {"database": DATABASE, "kind": "all"}
        backups = self._stage.client.call("backup.run", params, on_progress=_phases(tell))[
            "backups"
        ]
        _expect(len(backups) == len(KINDS), f"{len(backups)} backups instead of {KINDS}")
        for backup in backups:
            _expect(backup["state"] == "published", f"{backup['id']} is {backup['state']}")
            again = self._stage.client.call("backup.verify", {"id": backup["id"]})
            _expect(again["ok"], f"{backup['id']}: {again['problems']}")
            tell(f"{backup['id']}: {backup['size_bytes']} bytes, hash and full decode agree")
        return f"dump and schema verified, {sum(b['size_bytes'] for b in backups)} bytes"

    def _show_block(self, tell: Tell) -> str:
        with self._blocked_sessions() as started:
            tell(f"one session holds a row and idles, {VICTIMS} wait for it")
            page = self._page("blocked", "trigger", started)
            root = page.incident["evidence"]["roots"][0]
            _expect(root["victims"] == VICTIMS, f"{root['victims']} victims instead of {VICTIMS}")
            tell(f"paged after {page.at - started:.1f} s: {page.incident['summary']}")
            tell(f"root pid {root['pid']} ({root['state']}), {root['victims']} victims")
            tell(f"the command that ends it: {root['action']}")
            ended = self._end_by(root["action"])
            resolved = self._page("blocked", "resolve", ended)
        tell(f"resolved {resolved.at - ended:.1f} s after the command")
        return f"page {page.at - started:.1f} s, resolve {resolved.at - ended:.1f} s"

    def _show_long_query(self, tell: Tell) -> str:
        started = time.monotonic()
        with self._session("report") as connection, _in_background(_sleeps, connection):
            page = self._page("long_running", "trigger", started)
            tell(f"paged after {page.at - started:.1f} s: {page.incident['summary']}")
            action = page.incident["evidence"]["sessions"][0]["action"]
            tell(f"the command that ends it: {action}")
            ended = self._end_by(action)
            resolved = self._page("long_running", "resolve", ended)
        tell(f"resolved {resolved.at - ended:.1f} s after the command")
        return f"page {page.at - started:.1f} s, resolve {resolved.at - ended:.1f} s"

    def _scrape(self, tell: Tell) -> str:
        url = self.metrics_url
        started = time.monotonic()
        with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:  # noqa: S310  our own
            body = answer.read().decode()
        elapsed_ms = (time.monotonic() - started) * 1000
        series = [line for line in body.splitlines() if line and not line.startswith("#")]
        up = f'shippyard_health_database_up{{database="{DATABASE}"}} 1'
        _expect(up in series, f"the scrape does not say {up}")
        tell(url)
        return f"{len(series)} series in {elapsed_ms:.1f} ms, from memory"

    @contextmanager
    def _blocked_sessions(self) -> Iterator[float]:
        """A session that holds a row, and others that want it; gives when they began to wait."""
        with ExitStack() as stack:
            holder = stack.enter_context(self._session("holder"))
            holder.execute("BEGIN")
            row = holder.execute("SELECT id FROM users ORDER BY id LIMIT 1 FOR UPDATE").fetchone()
            _expect(row is not None, "there is no user to lock")
            assert row is not None
            started = time.monotonic()
            for number in range(VICTIMS):
                victim = stack.enter_context(self._session(f"victim-{number}"))
                stack.enter_context(_in_background(_updates, victim, row[0]))
            yield started

    @contextmanager
    def _session(self, name: str, user: str = MIGRATOR) -> Iterator[psycopg.Connection[Any]]:
        conninfo = self._stage.target(user).conninfo()
        # Closed and nothing more: the session may have been ended by on-call meanwhile.
        with closing(psycopg.connect(**conninfo, autocommit=True, application_name=name)) as opened:
            yield opened

    def _page(self, rule: str, event: str, since: float) -> Page:
        timeout_s = PAGE_TIMEOUT_S if event == "trigger" else RESOLVE_TIMEOUT_S
        page = self._stage.receiver.wait_for(rule, event, since, timeout_s)
        if page is None:
            raise StepFailed(f"no {event} of {rule} reached the pager within {timeout_s:g} s")
        return page

    def _end_by(self, action: str) -> float:
        """Do what the page says, as an operator would; gives when."""
        with self._session("on-call", SIGNAL) as connection:
            connection.execute(action.encode())
        return time.monotonic()


def run_tour(
    tour: Tour,
    on_begin: Callable[[Step], None],
    on_end: Callable[[Step, str, float], None],
    tell: Tell,
) -> None:
    """Show every step.

    Raises:
        StepFailed: a step's claim did not hold, or one of its parts failed; names the step.
    """
    for step in tour.steps():
        on_begin(step)
        started = time.monotonic()
        try:
            evidence = step.act(tell)
        except EXPECTED as error:
            raise StepFailed(
                f"step '{step.name}' failed: {' '.join(str(error).split())}"
            ) from error
        on_end(step, evidence, time.monotonic() - started)


def _expect(claim: bool, otherwise: str) -> None:  # noqa: FBT001  it is the claim
    if not claim:
        raise StepFailed(otherwise)


def _wait(condition: Callable[[], Any], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _phases(tell: Tell) -> Callable[[Any], None]:
    """Tells each new phase once."""
    seen: set[str] = set()

    def on_progress(fields: Any) -> None:
        words = (fields.get("id"), fields.get("phase"), fields.get("revision"))
        line = " ".join(str(word) for word in words if word)
        if line not in seen and fields.get("phase") not in UNTOLD:
            seen.add(line)
            tell(line)

    return on_progress


@contextmanager
def _in_background(work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(5)


def _updates(connection: psycopg.Connection[Any], user_id: Any) -> None:
    connection.execute("UPDATE users SET updated_at = now() WHERE id = %s", [user_id])


def _sleeps(connection: psycopg.Connection[Any]) -> None:
    # Being ended by on-call is how this query is meant to end.
    with suppress(psycopg.errors.QueryCanceled, psycopg.errors.AdminShutdown):
        connection.execute("SELECT pg_sleep(60)")
