"""Owns a program that watches a server, as an operator starts it, and what it costs.

Its own CPU and memory, that of its sessions on the server, and what a scrape of it is like.
"""

import gzip
import http.client
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

READY_WITHIN_S = 60.0
SCRAPE_WITHIN_S = 120.0
ENDED_WITHIN_S = 15.0
POLL_S = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NS = 1e9

# Sessions are told apart by role: each watcher has one of its own.
BACKENDS_SQL = "SELECT pid FROM pg_stat_activity WHERE usename = %s"


@dataclass(frozen=True)
class Scrape:
    """One answer: how long it took, and how many series it had."""

    elapsed_ms: float
    series: int


@dataclass
class Watcher:
    """A watcher that runs. `role` is its own on the server; `port` is where it is scraped."""

    name: str
    role: str
    port: int
    pid: int = 0
    scrapes: list[Scrape] = field(default_factory=list)
    _link: http.client.HTTPConnection | None = None

    def scrape(self) -> Scrape:
        """As Prometheus does it: on a connection that is kept, compressed where that is offered."""
        begun = time.monotonic()
        body = self._get()
        taken = Scrape((time.monotonic() - begun) * 1000, _series(body))
        self.scrapes.append(taken)
        return taken

    @property
    def rss_mib(self) -> float:
        """Memory it holds now."""
        resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return resident * _PAGE_BYTES / 2**20

    def cpu_s(self, server: psycopg.Connection[Any]) -> tuple[float, float]:
        """CPU so far: of the program with all its threads, of its sessions that are open now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        own = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        backends = server.execute(BACKENDS_SQL, [self.role]).fetchall()
        return own, sum(_on_cpu_s(Path(f"/proc/{pid}")) for (pid,) in backends)

    def quantile_ms(self, part: float) -> float:
        """The time that this part of all scrapes stayed under."""
        ordered = sorted(each.elapsed_ms for each in self.scrapes)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]

    @property
    def median_ms(self) -> float:
        """Half of the scrapes took at most this."""
        return statistics.median(each.elapsed_ms for each in self.scrapes)

    @property
    def series(self) -> int:
        """The most that one scrape had."""
        return max(each.series for each in self.scrapes)

    def _get(self) -> bytes:
        """A kept connection may have been closed meanwhile: then anew, as Prometheus does."""
        if self._link is not None:
            with suppress(OSError, http.client.HTTPException):
                return self._got(self._link)
        self._link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SCRAPE_WITHIN_S)
        return self._got(self._link)

    def _got(self, link: http.client.HTTPConnection) -> bytes:
        try:
            link.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            answer = link.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            link.close()
            self._link = None
            raise
        return gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body


@contextmanager
def watching(
    watcher: Watcher, argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Watcher]:
    """Run it for the length of a block, which begins when it first answers a scrape.

    Raises:
        TimeoutError: it did not answer in time; the end of what it said is in the message.
    """
    said = folder / f"{watcher.role}.log"
    with said.open("wb") as out:
        program = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        watcher.pid = program.pid
        _wait_for(watcher, said)
        yield watcher
    finally:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(ENDED_WITHIN_S)
        program.kill()
        program.wait()


def _wait_for(watcher: Watcher, said: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            watcher.scrape()
            watcher.scrapes.clear()
            return
        time.sleep(POLL_S)
    raise TimeoutError(f"{watcher.name} did not answer: {said.read_text()[-300:]}")


def _series(body: bytes) -> int:
    return sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))


def _on_cpu_s(task: Path) -> float:
    """Nanoseconds on a CPU are the first figure of schedstat (Documentation/scheduler)."""
    with suppress(OSError):
        return int((task / "schedstat").read_text().split()[0]) / _NS
    return 0.0
