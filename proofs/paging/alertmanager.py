"""Owns a real Alertmanager as a process: alone, with one receiver, and a folder of its own."""

import http.client
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proofs.program import Program
from proofs.rig import free_port
from proofs.table import ROOT, CouldNotRun
from proofs.waiting import until

PROGRAM = "prometheus-alertmanager"
EXAMPLE = ROOT / "config" / "alertmanager" / "alertmanager.yml"
READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Grouping:
    """How long it waits before it tells, and between tellings of one group."""

    wait: str
    interval: str


DEFAULTS = Grouping("30s", "5m")
"""What an Alertmanager does when its configuration says nothing of it."""


class Alertmanager:
    """One that tells all it hears to `receiver`."""

    def __init__(self, folder: Path, receiver: str, grouping: Grouping, name: str = "am") -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise CouldNotRun(f"no {PROGRAM} here: apt-get install {PROGRAM}")
        self._folder, self._name, self.port = folder, name, free_port()
        self._config = folder / f"{name}.yml"
        self._config.write_text(yaml.safe_dump(_document(receiver, grouping)))
        self._argv = [
            program,
            f"--config.file={self._config}",
            f"--storage.path={self._storage}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        self._running: Program | None = None

    @property
    def url(self) -> str:
        """Where it is told."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def _storage(self) -> Path:
        return self._folder / f"{self._name}-data"

    def start(self) -> None:
        """Start it; returns once it answers."""
        self._running = Program(self._argv, self._folder, self._name)
        until(self._answers, READY_WITHIN_S, "the Alertmanager ready")

    def kill(self) -> None:
        """End it as a crash does, and take all that it kept."""
        assert self._running is not None
        self._running.send(signal.SIGKILL)
        self._running.wait(5)
        shutil.rmtree(self._storage, ignore_errors=True)

    def end(self) -> None:
        """End it in order; safe to call twice."""
        if self._running is not None:
            self._running.end()

    def firing(self) -> set[str]:
        """What fires there now: each alert's name and subject."""
        return {
            f"{alert['labels']['alertname']} {alert['labels'].get('subject', '')}"
            for alert in self._get("/api/v2/alerts?active=true")
        }

    def _answers(self) -> bool:
        with suppress(OSError, ValueError, http.client.HTTPException):
            self._get("/api/v2/status")
            return True
        return False

    def _get(self, path: str) -> Any:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            link.request("GET", path)
            return json.loads(link.getresponse().read())
        finally:
            link.close()


@contextmanager
def alertmanager(
    folder: Path, receiver: str, grouping: Grouping, name: str = "am"
) -> Iterator[Alertmanager]:
    """One that runs for the length of a block.

    Raises:
        CouldNotRun: there is none on this machine.
    """
    made = Alertmanager(folder, receiver, grouping, name)
    try:
        made.start()
        yield made
    finally:
        made.end()


def example_grouping() -> Grouping:
    """What our example says for what the daemon pages."""
    route = yaml.safe_load(EXAMPLE.read_text())["route"]
    ours = next(
        (each for each in route["routes"] if 'source="shippyard"' in each["matchers"]), route
    )
    both = {**route, **ours}
    return Grouping(both["group_wait"], both["group_interval"])


def _document(receiver: str, grouping: Grouping) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "on-call",
            "group_by": ["alertname", "cluster", "database"],
            "group_wait": grouping.wait,
            "group_interval": grouping.interval,
        },
        "receivers": [
            {
                "name": "on-call",
                "webhook_configs": [{"url": receiver, "send_resolved": True}],
            }
        ],
    }
