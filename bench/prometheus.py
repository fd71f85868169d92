"""Owns a Prometheus that pages by an Alertmanager, as it is usually set up.

It scrapes the daemon's own metrics, which are as fresh as can be: kinder than an exporter that asks
only when it is scraped. Scrapes and evaluations each 15 s are kinder than the 1 m of its defaults.
"""

import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from proofs.program import Program
from proofs.rig import free_port
from proofs.table import CouldNotRun
from proofs.waiting import until

PROGRAM = "prometheus"
ALERT = "SessionsBlocked"
FOR = "10s"
EXPR = "shippyard_health_longest_lock_wait_seconds >= 0.5"
UP_WITHIN_S = 150.0


@contextmanager
def prometheus(folder: Path, source: int, alertmanager: int, every_s: int) -> Iterator[None]:
    """One that has scraped the port `source`, for the length of a block.

    It scrapes and evaluates each `every_s`.

    Raises:
        CouldNotRun: there is none on this machine.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise CouldNotRun(f"no {PROGRAM} here: apt-get install {PROGRAM}")
    config, rules, port = folder / "usual.prometheus.yml", folder / "usual.rules.yml", free_port()
    rules.write_text(yaml.safe_dump(_rules()))
    config.write_text(yaml.safe_dump(_config(rules, source, alertmanager, every_s)))
    argv = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'usual-tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    running = Program(argv, folder, "usual-prometheus")
    try:
        until(lambda: _has_scraped(port), UP_WITHIN_S, "Prometheus has scraped", pause_s=0.2)
        yield
    finally:
        running.end()


def _rules() -> dict[str, Any]:
    rule = {"alert": ALERT, "expr": EXPR, "for": FOR, "labels": {"severity": "page"}}
    return {"groups": [{"name": "usual", "rules": [rule]}]}


def _config(rules: Path, source: int, alertmanager: int, every_s: int) -> dict[str, Any]:
    scraped = {"job_name": "shippyard", "static_configs": [{"targets": [f"127.0.0.1:{source}"]}]}
    told = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}
    return {
        "global": {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [told]},
        "scrape_configs": [scraped],
    }


def _has_scraped(port: int) -> bool:
    with suppress(OSError, ValueError, KeyError, http.client.HTTPException):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            link.request("GET", "/api/v1/query?query=up%3D%3D1")
            return bool(json.loads(link.getresponse().read())["data"]["result"])
        finally:
            link.close()
    return False
