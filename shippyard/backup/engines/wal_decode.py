"""Owns the proof that WAL inside a base backup decodes: record by record, by pg_waldump.

That is what pg_verifybackup does, too. Only the server's own major version can read its records.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shippyard.backup.engines.base_files import Nowhere, Walked, Write
from shippyard.backup.engines.base_manifest import WalRange
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.restore.line import DEFAULT_SEGMENT_BYTES
from shippyard.backup.wal.names import Segment, parse_lsn
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import one_line
from shippyard.postgres.tools import Tools

PROGRAM = "pg_waldump"
REASON_CHARS = 300


class WalOnly(Nowhere):
    """Keeps the WAL in a scratch folder; the rest is only read."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    @contextlib.contextmanager
    def file(self, name: str, size_bytes: int) -> Iterator[Write]:  # noqa: ARG002  as in `Sink`
        """See `Sink`."""
        folder, _, base = name.rpartition("/")
        if folder != "pg_wal":
            yield len
            return
        with (self._scratch / base).open("xb") as file:
            yield file.write


def decode_wal(
    processes: Processes, tools: Tools, wal: Path, walked: Walked, timeout_s: float
) -> list[str]:
    """What is wrong with the WAL that the backup needs; `wal` is the folder with its segments.

    Raises:
        EngineFailed: it could not be decoded, which says nothing of it.
    """
    program = tools.path(PROGRAM)
    if tools.major != walked.server_major or not Path(program).is_file():
        raise EngineFailed(
            f"no {PROGRAM} of PostgreSQL {walked.server_major} here, which proves that the "
            f"backup's WAL decodes; install postgresql-{walked.server_major}"
        )
    if missing := _missing(walked):
        return [f"WAL segment {name} is missing in the backup" for name in missing]
    needed = (each for each in walked.manifest.wal if each.begins != each.ends)
    found = (_undecodable(processes, program, wal, each, timeout_s) for each in needed)
    return [problem for problem in found if problem]


def _missing(walked: Walked) -> list[str]:
    """Segments that the backup needs and doesn't have; pg_waldump would wait for them."""
    size = walked.wal_segment_bytes or DEFAULT_SEGMENT_BYTES
    needed = [
        Segment(each.timeline, number).name(size)
        for each in walked.manifest.wal
        for number in range(parse_lsn(each.begins) // size, -(-parse_lsn(each.ends) // size))
    ]
    return [name for name in needed if name not in walked.wal]


def _undecodable(
    processes: Processes, program: str, wal: Path, needed: WalRange, timeout_s: float
) -> str | None:
    argv = [
        program,
        "--quiet",
        f"--path={wal}",
        f"--timeline={needed.timeline}",
        f"--start={needed.begins}",
        f"--end={needed.ends}",
    ]
    try:
        done = processes.run(argv, timeout_s=timeout_s)
    except ProcessTimedOut as error:
        raise EngineFailed(f"{PROGRAM} was {error}; raise backup.timeout_s") from None
    if done.returncode < 0:
        raise EngineFailed(f"{PROGRAM} was killed by signal {-done.returncode}")
    if not done.returncode:
        return None
    said = one_line(Exception(done.reason()))[:REASON_CHARS]
    return f"WAL from {needed.begins} to {needed.ends} can't be decoded: {said}"
