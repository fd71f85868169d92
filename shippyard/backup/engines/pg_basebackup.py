"""Owns base backups by pg_basebackup: its arguments, what it leaves, and the proof that all decode.

An artifact is `base.tar.zst`, a tar per tablespace, the WAL that makes them consistent, and the
server's own `backup_manifest`. The server compresses where it can; where it can't, we do. A
password is in the environment or a passfile, never in an argument.
"""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shippyard.backup.compression import Compressing
from shippyard.backup.engines.base_files import (
    BaseUnusable,
    Walk,
    Walked,
    first_label,
)
from shippyard.backup.engines.base_manifest import (
    CHECKSUM,
    FILE_NAME,
    BaseManifest,
    BaseManifestUnusable,
    read_base_manifest,
)
from shippyard.backup.engines.engine import EngineFailed, Preflight, Product
from shippyard.backup.engines.tarball import CHUNK_BYTES, TarballUnusable
from shippyard.backup.engines.wal_decode import WalOnly, decode_wal
from shippyard.backup.manifest import Environment, FileEntry, Made, Manifest, Source
from shippyard.backup.rights import lacks, look_at_rights, refusal
from shippyard.backup.source import environment_of, source_of
from shippyard.backup.wal.names import parse_lsn
from shippyard.config.models import ClusterBackup, Config
from shippyard.host.clock import Clock
from shippyard.host.process import Completed, Processes, ProcessesStopped, ProcessTimedOut
from shippyard.postgres.session import QueryFailed, Session, Unreachable, one_line, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, ToolsMissing, tools_for

VERSION_TIMEOUT_S = 10.0
REASON_CHARS = 400
SENDERS_NEEDED = 2
"""One sends the files, one the WAL."""
SERVER_COMPRESSES_SINCE = 15
INCREMENTAL_SINCE = 17
NO_WORKERS = "compression worker count"
SCRATCH = ".wal"

# What PostgreSQL says, and what mends it.
REMEDIES = {
    "pg_hba.conf": (
        "add to pg_hba.conf: `{how} replication {user} {where}scram-sha-256`, "
        "then run: SELECT pg_reload_conf()"
    ),
    "replication role": "as a superuser run: ALTER ROLE {user} REPLICATION",
    "permission denied to start WAL sender": ("as a superuser run: ALTER ROLE {user} REPLICATION"),
    "exceeds max_wal_senders": "run: ALTER SYSTEM SET max_wal_senders = 10, then restart it",
    "all replication slots are in use": (
        "run: ALTER SYSTEM SET max_replication_slots = 20, then restart it"
    ),
    "WAL summar": "take a full base backup; the next incremental one can follow that",
    "checksum": "the server's own files are damaged: run amcheck, and restore what it names",
}

_QUESTION = Path(__file__).with_name("base.sql").read_text()


@dataclass(frozen=True)
class _Seen:
    """What the look at the server found, beside what a `Preflight` says."""

    has_zstd: bool
    environment: Environment


class BaseEngine:
    """Base backups of one cluster. With a `parent`, only what changed since then is taken."""

    def __init__(
        self,
        target: Target,
        cluster: ClusterBackup,
        config: Config,
        processes: Processes,
        clock: Clock,
        *,
        parent: tuple[Path, Manifest] | None = None,
    ) -> None:
        assert cluster.engine == "postgres", f"{cluster.engine} makes its own base backups"
        self._target = target
        self._config = config
        self._processes = processes
        self._clock = clock
        self._parent = parent
        self._jobs = config.backup.dump.jobs
        self._seen: _Seen | None = None

    def preflight(self) -> Preflight:
        """See `Engine`."""
        try:
            with session(self._target, "backup") as opened:
                return self._look(opened)
        except (Unreachable, QueryFailed) as error:
            raise EngineFailed(one_line(error)) from None

    def make(self, folder: Path, preflight: Preflight, on_size: Callable[[int], None]) -> Product:
        """See `Engine`."""
        assert self._seen is not None, "make() without preflight()"
        deadline = self._clock.monotonic() + self._config.backup.timeout_s
        tools = self._tools(preflight.server_major)
        argv = self._take(tools, folder, on_size)
        try:
            hashes = self._compress(folder, on_size, deadline)
            manifest, label = read_base_manifest(folder), first_label(folder)
        except (BaseUnusable, BaseManifestUnusable, TarballUnusable) as error:
            raise EngineFailed(f"pg_basebackup left no whole backup: {error}") from None
        return Product(
            Made(self._version(tools), tools.major, tuple(argv)),
            _placed(preflight.source, manifest),
            hashes,
            environment=self._seen.environment,
            parent=self._parent[1].id if self._parent else None,
            wal_first=label.segment,
        )

    def verify(self, folder: Path, files: tuple[FileEntry, ...]) -> tuple[str, list[str]]:
        """See `Engine`.

        Every tar is decoded, every file in it held against the server's own manifest, and every
        record of the WAL that is needed is decoded by the server's own program.
        """
        method = f"sha256, full decode, {FILE_NAME}, WAL records"
        names = [entry.name for entry in files]
        with _scratch(folder) as wal:
            try:
                walk = Walk(folder, WalOnly(wal), jobs=self._jobs, breathe=self._breathe)
                walked, problems = walk.run(names)
            except (BaseUnusable, BaseManifestUnusable, TarballUnusable) as error:
                return method, [str(error)]
            return method, [*problems, *self._wal_problems(walked, wal)]

    def _look(self, opened: Session) -> Preflight:
        major = opened.server_version // 10_000
        if denied := refusal(rights := look_at_rights(opened), lacks(rights, "base")):
            raise EngineFailed(denied)
        row = opened.query(_QUESTION)[0]
        source = replace(source_of(opened), dbname="")
        self._refuse_settings(row)
        self._refuse_parent(row, source, major)
        self._tools(major)
        has_zstd = bool(row["has_zstd"]) and major >= SERVER_COMPRESSES_SINCE
        self._seen = _Seen(has_zstd, environment_of(opened))
        # What the server can't compress stands here as it is before we do.
        return Preflight(source, major, None if has_zstd else row["cluster_bytes"])

    def _refuse_settings(self, row: dict[str, Any]) -> None:
        if row["wal_level"] == "minimal":
            raise EngineFailed(
                "wal_level is minimal: run ALTER SYSTEM SET wal_level = replica, then restart it"
            )
        free = row["max_wal_senders"] - row["wal_senders"]
        if free < SENDERS_NEEDED:
            raise EngineFailed(
                f"{free} of {row['max_wal_senders']} WAL senders are free, a base backup needs "
                f"{SENDERS_NEEDED}: run ALTER SYSTEM SET max_wal_senders = "
                f"{row['wal_senders'] + SENDERS_NEEDED + 3}, then restart it"
            )

    def _refuse_parent(self, row: dict[str, Any], source: Source, major: int) -> None:
        if self._parent is None:
            return
        parent = self._parent[1]
        if major < INCREMENTAL_SINCE:
            raise EngineFailed(
                f"PostgreSQL {major} can't make incremental base backups ({INCREMENTAL_SINCE} "
                'can); set backup.incremental_schedule = ""'
            )
        if row["summarize_wal"] != "on":
            raise EngineFailed(
                "incremental base backups need WAL summaries: run ALTER SYSTEM SET summarize_wal "
                "= on, then SELECT pg_reload_conf(), and take a full one"
            )
        if not (self._parent[0] / FILE_NAME).is_file():
            raise EngineFailed(
                f"{parent.id} has no {FILE_NAME}, which an incremental backup needs; "
                "take a full base backup first"
            )
        if parent.source.system_identifier != source.system_identifier:
            raise EngineFailed(
                f"{parent.id} is of another cluster; take a full base backup of this one first"
            )

    def _take(self, tools: Tools, folder: Path, on_size: Callable[[int], None]) -> list[str]:
        """Run pg_basebackup; gives its arguments. Not every build compresses with workers."""
        argv = self._argv(tools, folder, workers=self._jobs)
        done = self._run(argv, folder, on_size)
        if done.returncode and NO_WORKERS in done.stderr:
            argv = self._argv(tools, folder, workers=0)
            done = self._run(argv, folder, on_size)
        if done.returncode:
            raise EngineFailed(self._with_remedy(_reason(done)))
        return argv

    def _argv(self, tools: Tools, folder: Path, workers: int) -> list[str]:
        assert self._seen is not None, "no preflight"
        compress = f"server-zstd:level={self._config.backup.dump.compression_level}"
        compress += f",workers={workers}" if workers else ""
        parent = [f"--incremental={self._parent[0] / FILE_NAME}"] if self._parent else []
        return [
            tools.path("pg_basebackup"),
            f"--pgdata={folder}",
            "--format=tar",
            "--wal-method=stream",
            "--checkpoint=fast",
            f"--manifest-checksums={CHECKSUM}",
            "--label=shippyard",
            # All of it is flushed to disk before it is verified.
            "--no-sync",
            *([f"--compress={compress}"] if self._seen.has_zstd else []),
            *parent,
            f"--host={self._target.host}",
            f"--port={self._target.port}",
            f"--username={self._target.user}",
            "--no-password",
        ]

    def _run(self, argv: list[str], folder: Path, on_size: Callable[[int], None]) -> Completed:
        timeout_s = self._config.backup.timeout_s
        try:
            done = self._processes.run(
                argv,
                timeout_s=timeout_s,
                env=self._target.environment() | {"PGAPPNAME": "shippyard:backup"},
                on_tick=lambda: on_size(_size_of(folder)),
            )
        except ProcessTimedOut:
            raise EngineFailed(
                f"pg_basebackup was ended after {timeout_s:g} s; raise backup.timeout_s if it "
                "needs longer"
            ) from None
        if done.returncode == -signal.SIGTERM:
            raise EngineFailed("stopped: pg_basebackup was asked to end")
        if done.returncode < 0:
            raise EngineFailed(f"pg_basebackup was killed by signal {-done.returncode}")
        return done

    def _compress(
        self, folder: Path, on_size: Callable[[int], None], deadline: float
    ) -> dict[str, FileEntry]:
        """What came uncompressed, which the WAL always does, as our own checksummed frames."""
        settings = self._config.backup.dump
        hashes = {}
        for tar in sorted(folder.glob("*.tar")):
            small = tar.with_name(f"{tar.name}.zst")
            with (
                tar.open("rb") as opened,
                Compressing(small, level=settings.compression_level, threads=self._jobs) as out,
            ):
                while chunk := opened.read(CHUNK_BYTES):
                    self._breathe()
                    self._refuse_late(deadline)
                    out.write(chunk)
            hashes[out.entry.name] = out.entry
            tar.unlink()
            on_size(_size_of(folder))
        return hashes

    def _refuse_late(self, deadline: float) -> None:
        if self._clock.monotonic() > deadline:
            raise EngineFailed(
                "the base backup could not be compressed in time; raise backup.timeout_s"
            )

    def _wal_problems(self, walked: Walked, wal: Path) -> list[str]:
        tools = self._tools(walked.server_major)
        return decode_wal(
            self._processes, tools, wal, walked, timeout_s=self._config.backup.timeout_s
        )

    def _breathe(self) -> None:
        """Nothing of ours goes on for long once the owner stops."""
        if self._processes.stopping:
            raise ProcessesStopped("stopping: the work on the base backup was left")

    def _tools(self, major: int) -> Tools:
        try:
            return tools_for(self._processes, major, self._config.tools_dirs)
        except ToolsMissing as error:
            raise EngineFailed(str(error)) from None

    def _version(self, tools: Tools) -> str:
        argv = [tools.path("pg_basebackup"), "--version"]
        return self._processes.run(argv, timeout_s=VERSION_TIMEOUT_S).stdout.strip()

    def _with_remedy(self, reason: str) -> str:
        is_local = self._target.host.startswith("/")
        how, where = ("local", "") if is_local else ("host", "<this machine's address>/32 ")
        for symptom, remedy in REMEDIES.items():
            if symptom in reason:
                return f"{reason}; {remedy.format(user=self._target.user, how=how, where=where)}"
        return reason


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for the WAL: on the same disk, and swept with the backup should we be killed."""
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _placed(source: Source, manifest: BaseManifest) -> Source:
    """The source with where recovery begins and what it must get past to be consistent."""
    first = min(manifest.wal, key=lambda each: parse_lsn(each.begins))
    last = max(manifest.wal, key=lambda each: parse_lsn(each.ends))
    return replace(source, timeline=last.timeline, lsn_at_start=first.begins, lsn_at_end=last.ends)


def _size_of(folder: Path) -> int:
    """Bytes so far; files come and go while it is asked."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _reason(done: Completed) -> str:
    """The first error the program wrote and its detail, as one line."""
    lines = [line.strip() for line in done.stderr.splitlines()]
    said = [line for line in lines if "error: " in line.lower()][:1]
    said += [line for line in lines if "detail: " in line.lower()][:1] if said else []
    return one_line(Exception("; ".join(said) or done.reason()))[:REASON_CHARS]
