"""Owns what watching a crowded server costs, the daemon beside prometheus-postgres-exporter.

On one server: the daemon alone for some minutes, then all of them, scraped in turn.
`python -m bench.exporter [--alone 3] [--beside 3]`.
"""

import argparse
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.crowd import DATABASE, Crowd, connect, crowd, watcher
from bench.watched import Watcher, watching
from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target

EXPORTER = "prometheus-postgres-exporter"
QUERIES = Path("/usr/share/doc/prometheus-postgres-exporter/examples/queries.yaml")
SETTLE_S = 10.0
SCRAPE_EVERY_S = 1.0
POLLED_EVERY_S = 5
SAID_EVERY_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cost:
    """What one watcher cost over the minutes that it watched.

    `program` and `server` are parts of one core; the median is of all its scrapes.
    """

    name: str
    median_ms: float
    p99_ms: float
    series: int
    program: float
    server: float
    rss_mib: float

    def __str__(self) -> str:
        return (
            f"{self.name}: scrape {self.median_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, "
            f"{self.series} series, {self.program + self.server:.2%} of a core "
            f"(itself {self.program:.2%}, server {self.server:.2%}), {self.rss_mib:.0f} MiB"
        )


def measure(
    folder: Path, size: Crowd, say: Say, *, alone_s: float, beside_s: float
) -> tuple[Cost, list[Cost]]:
    """The daemon's cost alone; then its own, the exporter's, and that with its queries.yaml.

    Raises:
        FileNotFoundError: the exporter is not installed.
    """
    if not (shutil.which(EXPORTER) and QUERIES.exists()):
        raise FileNotFoundError(f"{EXPORTER} is not installed; apt-get install {EXPORTER}")
    with ExitStack() as undo:
        cluster, server = undo.enter_context(_standing(folder, size, say))
        watchers = [undo.enter_context(daemon(cluster, folder, "shippyard"))]
        (alone,) = _watched(watchers, server, alone_s, say)
        watchers.append(undo.enter_context(_exporter(cluster, folder, "exporter")))
        watchers.append(undo.enter_context(_exporter(cluster, folder, "exporter_more", QUERIES)))
        return alone, _watched(watchers, server, beside_s, say)


def memory(folder: Path, size: Crowd, say: Say, stays_s: float) -> Cost:
    """What the daemon costs, and holds at the end, when it was scraped for so long."""
    with ExitStack() as undo:
        cluster, server = undo.enter_context(_standing(folder, size, say))
        ours = undo.enter_context(daemon(cluster, folder, "shippyard"))
        return _watched([ours], server, stays_s, say)[0]


@contextmanager
def _standing(
    folder: Path, size: Crowd, say: Say
) -> Iterator[tuple[EmbeddedCluster, psycopg.Connection[Any]]]:
    """The crowd, and a session that looks at everybody's CPU."""
    processes = Processes()
    with ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(crowd(folder / "postgres", processes, size))
        say(f"{size.tables} tables, {size.indexes} indexes, {size.sessions} sessions stand")
        yield cluster, undo.enter_context(connect(cluster.target()))


@contextmanager
def daemon(
    cluster: EmbeddedCluster, folder: Path, role: str, off: Iterable[str] = ()
) -> Iterator[Watcher]:
    """Shippyard on the crowd, every fast check asked each 5 s, with nothing scheduled.

    `off` are checks that it leaves out.
    """
    target, port = watcher(cluster, role), _free_port()
    own = folder / role
    own.mkdir()
    config = own / "shippyard.toml"
    config.write_text(_config(own, target, port) + _cadences(set(off)))
    argv = [sys.executable, "-m", "shippyard", "run", "--config", str(config)]
    with watching(Watcher(role, role, port), argv, folder) as one:
        yield one


def _config(folder: Path, target: Target, port: int) -> str:
    login = json.dumps(target.user)
    return f"""
environment = "testing"
daemon = {{ state_dir = {json.dumps(str(folder / "state"))} }}
http = {{ port = {port} }}
control = {{ socket = {json.dumps(str(folder / "control.sock"))}, allow_root = true }}
backup = {{ dir = {json.dumps(str(folder / "backups"))}, dump_schedule = "", schema_schedule = "" }}
[[databases]]
name = "{DATABASE}"
dbname = "{DATABASE}"
host = {json.dumps(str(target.host))}
monitor = {{ user = {login} }}
backup = {{ user = {login} }}
"""


def _cadences(off: Collection[str]) -> str:
    """Every check that is asked more often than each 5 s is asked each 5 s, or not at all."""
    oftener = {each.name for each in load_checks(Health()) if each.every_s < POLLED_EVERY_S}
    said = dict.fromkeys(oftener, f"every_s = {POLLED_EVERY_S}")
    said |= dict.fromkeys(off, "enabled = false")
    return "".join(f"[health.checks.{name}]\n{what}\n" for name, what in sorted(said.items()))


@contextmanager
def _exporter(
    cluster: EmbeddedCluster, folder: Path, role: str, queries: Path | None = None
) -> Iterator[Watcher]:
    target, port = watcher(cluster, role), _free_port()
    source = f"host={target.host} user={role} dbname={DATABASE} sslmode=disable"
    argv = [EXPORTER, f"--web.listen-address=127.0.0.1:{port}"]
    argv += [f"--extend.query-path={queries}"] if queries else []
    name = f"{EXPORTER} with queries.yaml" if queries else EXPORTER
    with watching(Watcher(name, role, port), argv, folder, {"DATA_SOURCE_NAME": source}) as one:
        yield one


def _watched(
    watchers: Sequence[Watcher], server: psycopg.Connection[Any], length_s: float, say: Say
) -> list[Cost]:
    """Scraped in turn, each once a second."""
    time.sleep(SETTLE_S)
    for each in watchers:
        each.scrapes.clear()
    begun, told = time.monotonic(), time.monotonic()
    before = [each.cpu_s(server) for each in watchers]
    while (now := time.monotonic()) < begun + length_s:
        for each in watchers:
            each.scrape()
        if now > told + SAID_EVERY_S:
            told = now
            left_s = begun + length_s - now
            say(f"{watchers[0].rss_mib:.0f} MiB, {watchers[0].series} series; {left_s:.0f} s left")
        time.sleep(max(0.0, SCRAPE_EVERY_S - (time.monotonic() - now)))
    took_s = time.monotonic() - begun
    after = [each.cpu_s(server) for each in watchers]
    return [
        Cost(
            each.name,
            each.median_ms,
            each.quantile_ms(0.99),
            each.series,
            (end[0] - start[0]) / took_s,
            (end[1] - start[1]) / took_s,
            each.rss_mib,
        )
        for each, start, end in zip(watchers, before, after, strict=True)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Print what each costs, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alone", type=float, default=3.0, help="minutes")
    parser.add_argument("--beside", type=float, default=3.0, help="minutes")
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--indexes", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=500)
    asked = parser.parse_args()
    size = Crowd(asked.tables, asked.indexes, asked.sessions)
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        Path(folder).chmod(0o755)
        times = {"alone_s": asked.alone * 60, "beside_s": asked.beside * 60}
        alone, (ours, *others) = measure(Path(folder), size, print, **times)
    print(f"alone: {alone}\nbeside: {ours}")
    for other in others:
        print(f"{other}; {other.median_ms / ours.median_ms:.0f} times the scrape")


if __name__ == "__main__":
    main()
