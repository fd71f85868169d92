"""Owns which server the tests work on: the one that is named, else a scratch cluster of our own.

The scratch cluster keeps nothing: it is in memory where there is room, does not wait for a disk,
and nothing vacuums behind the tests. None of that is ever set on a server that somebody else runs.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools

SERVER_VARIABLE = "SHIPPYAR_TEST_SERVER"
EXAMPLE = "postgresql://postgres@localhost:5432/postgres"
SCRATCH = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "full_page_writes": "off",
    "max_wal_size": "512MB",
    "synchronous_commit": "off",
}

MEMORY = Path("/dev/shm")  # noqa: S108  a fresh folder in it, of our own
ROOM_BYTES = 2 * 1024**3  # a database at head is 8 MB, a few are there at once


class ServerUnusable(Exception):
    """The named server can't be used; one line that says what to write."""


@contextmanager
def server_for_tests(environ: Mapping[str, str], processes: Processes) -> Iterator[Target]:
    """How a superuser reaches the server, for the length of a block.

    Raises:
        ServerUnusable: SHIPPYAR_TEST_SERVER is not a URL that can be used.
        EmbeddedFailed, ToolsMissing: no cluster of our own can be started here.
    """
    named = environ.get(SERVER_VARIABLE, "")
    if named:
        yield _named(named)
        return
    with embedded_cluster(server_tools(processes), processes, SCRATCH, _in_memory()) as cluster:
        yield cluster.target()


def _named(url: str) -> Target:
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        parts = {}
    if "password" in parts:
        raise ServerUnusable(f"{SERVER_VARIABLE} holds a password; put it in a passfile: ~/.pgpass")
    if not {"host", "user"} <= parts.keys():
        raise ServerUnusable(f"{SERVER_VARIABLE} is not usable; write it as {EXAMPLE}")
    port = int(parts.get("port", "5432"))
    return Target(parts["host"], port, parts.get("dbname", "postgres"), parts["user"])


def _in_memory() -> Path | None:
    """Where files are memory, when programs may be run there and it has room."""
    if not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= ROOM_BYTES else None
