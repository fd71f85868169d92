"""Proves that a real Prometheus answers every question of every dashboard and rule.

It scrapes a real daemon, on whose database work is done meanwhile: statements, a block, backups, a
migration, a drill. What gets no answer is listed with why, or fails the row.
"""

import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg

from proofs.know.questions import (
    Question,
    expected_empty,
    known_metrics,
    needless,
    questions,
    unanswered,
)
from proofs.program import Program
from proofs.rig import DATABASE, Block, Rig, free_port, rig
from proofs.table import Context, CouldNotRun, Outcome, Row
from proofs.waiting import until
from shippyard.config.models import Health
from shippyard.health.loader import load_checks

SCRAPE_EVERY_S = 1
RATE_INTERVAL = "15s"
STEP_S = 1
READY_WITHIN_S = 30.0
WORK_PAUSE_S = 0.02
BLOCKED_S = 14.0
"""Long enough for a page."""
AFTER_S = 5.0
FULL_S, QUICK_S = 180, 8
SERVER = {"shared_preload_libraries": "pg_stat_statements"}
HURRIED_S: dict[str, float] = {"medium": 2.0, "slow": 5.0}

CONFIG = """
global: {{scrape_interval: {every}s, evaluation_interval: {every}s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: shippyard
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@dataclass
class Prometheus:
    """A real one. `begun` is when its first scrape may have been."""

    port: int
    begun: float

    def get(self, path: str, **parameters: Any) -> Any:
        """What its API answers.

        Raises:
            RuntimeError: it refused; its own words.
        """
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            said = json.loads(link.getresponse().read())
        finally:
            link.close()
        if said["status"] != "success":
            raise RuntimeError(f"{said['error']}: {parameters}")
        return said["data"]

    def answers(self, question: Question) -> bool:
        """Whether there was an answer at any moment since the beginning."""
        found = self.get(
            "query_range", query=question.expr, start=self.begun, end=time.time(), step=STEP_S
        )
        return bool(found["result"])


@contextmanager
def prometheus(folder: Path, target_port: int, rules: Path) -> Iterator[Prometheus]:
    """One that scrapes for the length of a block.

    Raises:
        CouldNotRun: there is no Prometheus here.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise CouldNotRun("no prometheus here: apt-get install prometheus")
    config, port = folder / "prometheus.yml", free_port()
    text = CONFIG.format(every=SCRAPE_EVERY_S, rules=rules, port=target_port)
    config.write_text(text)
    argv = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    made, running = Prometheus(port, time.time()), Program(argv, folder, "prometheus")
    try:
        until(lambda: _is_up(made), READY_WITHIN_S, "Prometheus has scraped")
        yield made
    finally:
        running.end()


def _is_up(made: Prometheus) -> bool:
    with suppress(OSError, RuntimeError, ValueError):
        found = made.get("query", query='up{job="shippyard"} == 1')
        return bool(found["result"])
    return False


def all_answered(context: Context) -> Outcome:
    """Every panel, variable, annotation and rule."""
    with rig(context, SERVER) as stage:
        stage.document["backup"]["sandbox"] = {"dir": str(context.folder / "sandboxes")}
        stage.document["health"] = {"checks": _hurried()}
        with stage.connect("install") as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        stage.start()
        asked = questions(RATE_INTERVAL)
        rules = context.root / "config" / "prometheus" / "shippyard.rules.yml"
        with prometheus(context.folder, stage.document["http"]["port"], rules) as asks:
            work(stage, context.count(full=FULL_S, quick=QUICK_S), context.say)
            answered = [each for each in asked if asks.answers(each)]
            unwell = _unwell_rules(asks)
    why = expected_empty()
    silent = unanswered(asked, answered, why, known_metrics())
    excused = len(asked) - len(answered) - len(silent)
    measured = (
        f"{len(asked)} questions: {len(answered)} answered, {excused} expected empty, "
        f"{len(silent)} without an answer; {len(unwell)} rules in error"
    )
    told = [f"{each.where}: {each.expr}" for each in silent] + unwell
    told += [f"needless excuse: {name}" for name in needless(asked, answered, why)]
    return Outcome(measured, not silent and not unwell, "; ".join(told))


def _hurried() -> dict[str, dict[str, float]]:
    """What is asked each quarter of an hour would not be asked again while this lasts."""
    checks = load_checks(Health())
    return {c.name: {"every_s": HURRIED_S[c.cadence]} for c in checks if c.cadence in HURRIED_S}


def _unwell_rules(asks: Prometheus) -> list[str]:
    groups = asks.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"]


def work(stage: Rig, length_s: float, say: Callable[[str], None]) -> None:
    """Whatever a daemon lives through on a common day, in a minute or more."""
    ends = time.monotonic() + length_s
    over = threading.Event()
    application = threading.Thread(target=_application, args=(stage, over), daemon=True)
    application.start()
    try:
        for words in (
            ("backup", "run", DATABASE),
            ("migrate", "rehearse"),
            ("migrate", "--yes"),
            ("backup", "run", DATABASE, "--kind", "schema"),
            ("drill", "run", DATABASE, "--kind", "dump"),
        ):
            ran = stage.ctl(*words)
            if ran.returncode:
                say(f"{' '.join(words)}: {ran.returncode}: {ran.stderr.strip()[-200:]}")
        # A report that somebody left open: its snapshot holds back vacuum.
        report = stage.connect("report")
        report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM trade")
        block = Block(stage)
        until(lambda: time.monotonic() > block.begun + BLOCKED_S, BLOCKED_S + 5, "the block lasted")
        block.end()
        report.close()
        until(lambda: time.monotonic() > ends, length_s + 5, "the work done")
        stage.stop()
        stage.start()
        again = time.monotonic()
        until(lambda: time.monotonic() > again + AFTER_S, AFTER_S + 5, "it was scraped again")
    finally:
        over.set()
        application.join(10)


TRADE: Sequence[str] = (
    "INSERT INTO trade (note) VALUES (repeat('x', 100))",
    "SELECT count(*) FROM trade WHERE note LIKE '%y%'",
    "UPDATE trade SET note = 'z' WHERE id % 10 = 0",
    "BEGIN; DELETE FROM trade WHERE id < 0; ROLLBACK",
)


def _application(stage: Rig, over: threading.Event) -> None:
    with stage.connect("application") as connection:
        connection.execute("CREATE TABLE trade (id serial PRIMARY KEY, note text)")
        connection.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        with suppress(psycopg.Error):  # the stage is taken down
            while not over.wait(WORK_PAUSE_S):
                for statement in TRADE:
                    connection.execute(statement.encode())


ROWS = (
    Row(
        "prometheus",
        "A real Prometheus answers every panel, variable, annotation and rule",
        "no error, none empty but those listed with why",
        all_answered,
        alone=True,
    ),
)
