"""Owns dumps of one database: what is made of it, under which snapshot, and what beside it.

A session of ours holds the snapshot; pg_dump takes it over, and so do those who digest the rows
and write schema.sql meanwhile. So all of it is of one moment, and costs little time of its own.
pg_dump sets `row_security = off` itself, and so do we: rows hidden by a policy are an error and
never a smaller dump.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pyrage

from shippyard.backup.compression import FILE_MODE, Compressing
from shippyard.backup.digest import (
    Table,
    as_configured,
    content_session,
    lock_tables,
    read_content,
    read_sequences,
)
from shippyard.backup.engines.dump_command import RESTRICT_KEY, Commands, shape_of
from shippyard.backup.engines.dump_files import (
    FOLDER_SUFFIX,
    GLOBALS_END,
    GLOBALS_FILE,
    SCHEMA_FILE,
    SEALED_GLOBALS_FILE,
    STREAM_SUFFIX,
    DumpReader,
    ends_whole,
)
from shippyard.backup.engines.dump_program import (
    DumpPrograms,
    abilities_of,
    version_of,
    with_remedy,
)
from shippyard.backup.engines.engine import EngineFailed, Preflight, Product
from shippyard.backup.manifest import Content, FileEntry, Made, SequenceContent, Source
from shippyard.backup.model import Kind
from shippyard.backup.rights import lacks, look_at_rights, refusal
from shippyard.backup.seal import seal_of
from shippyard.backup.source import environment_of, source_of
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.snapshot import SnapshotSession, snapshot_session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, ToolsMissing, installed_tools, tools_for

GLOBALS_MAX_BYTES = 256 * 1024 * 1024
# Digests end long before the snapshot does: counting what they did not reach takes time, too.
DIGEST_SHARE = 1 / 3
TELL_EVERY_S = 0.2

OnSize = Callable[[int], None]


class DumpEngine:
    """Makes full dumps (`dump`) or definitions alone (`schema`) of one database."""

    def __init__(
        self, kind: Kind, target: Target, config: Config, processes: Processes, clock: Clock
    ) -> None:
        assert kind != "base", "a dump is of one database"
        self._kind = kind
        self._target = target
        self._config = config
        self._processes = processes
        self._clock = clock
        self._used: Tools | None = None

    def preflight(self) -> Preflight:
        """See `Engine`: the server's facts, the programs for it, and the role's rights."""
        with _in_our_words(self._target):
            with session(self._target, "backup") as opened:
                source, major = source_of(opened), opened.server_version // 10_000
                rights = look_at_rights(opened)
            self._used = self._tools_for(major)
        with_passwords = self._config.backup.dump.role_passwords
        if why := refusal(rights, lacks(rights, self._kind, with_passwords=with_passwords)):
            raise EngineFailed(why)
        return Preflight(source, major)

    def make(self, folder: Path, preflight: Preflight, on_size: OnSize) -> Product:
        """See `Engine`: everything that belongs to one dump, of one moment."""
        max_s, began = self._config.backup.dump.snapshot_max_s, self._clock.monotonic()
        with _in_our_words(self._target):
            try:
                return self._made(folder, preflight, on_size, max_s)
            except QueryFailed:
                if self._clock.monotonic() - began < max_s:
                    raise
        # The session that holds the moment was cut, and who noticed first can't know why.
        raise EngineFailed(
            f"it was ended after {max_s:g} s; raise backup.dump.snapshot_max_s if it needs longer"
        )

    def _made(self, folder: Path, preflight: Preflight, on_size: OnSize, max_s: float) -> Product:
        tools = self._used or self._tools_for(preflight.server_major)
        with snapshot_session(self._target, "backup", max_s=max_s) as held:
            work = _Work(
                self._config,
                self._target,
                held,
                processes=self._processes,
                clock=self._clock,
                tools=tools,
            )
            if self._kind == "schema":
                return work.schema(folder)
            return work.dump(folder, _name_of(self._config, self._target), on_size)

    def verify(self, folder: Path, files: tuple[FileEntry, ...]) -> tuple[str, list[str]]:
        """See `Engine`: pg_restore reads the whole archive; SQL must have its end."""
        with _in_our_words(self._target):
            installed = installed_tools(
                self._processes, self._config.tools_dirs, program="pg_restore"
            )
            newest_first = sorted(installed, key=lambda tools: -tools.major)
            tools = [*([self._used] if self._used else []), *newest_first]
            reader = DumpReader(self._processes, tools, self._config.backup.timeout_s)
            problems = reader.problems(self._kind, folder, files)
        method = "sha256, full decode" if self._kind == "dump" else "sha256, end marker"
        return method, problems

    def _tools_for(self, major: int) -> Tools:
        return tools_for(self._processes, major, self._config.tools_dirs)


class _Work:
    """One dump being made, while `held` holds its moment."""

    def __init__(
        self,
        config: Config,
        target: Target,
        held: SnapshotSession,
        *,
        processes: Processes,
        clock: Clock,
        tools: Tools,
    ) -> None:
        self._settings = config.backup.dump
        self._target = target
        self._clock = clock
        self._lock_wait_s = config.backup.lock_wait_timeout_s
        self._abilities = abilities_of(processes, tools)
        self._version = version_of(processes, tools)
        snapshot = held.export()
        self._source = replace(source_of(held), snapshot=snapshot)
        self._environment = environment_of(held)
        self._commands = Commands(
            tools,
            target,
            snapshot,
            self._lock_wait_s,
            _restrict_key(config, self._source) if self._abilities.restrict_key else None,
            bool(held.query("SELECT pg_is_in_recovery() AS is_standby")[0]["is_standby"]),
        )
        limits = {
            "backup.timeout_s": config.backup.timeout_s,
            "backup.dump.snapshot_max_s": self._settings.snapshot_max_s,
        }
        setting = min(limits, key=lambda name: limits[name])
        self._programs = DumpPrograms(
            processes,
            target,
            clock,
            timeout_s=limits[setting],
            setting=setting,
            watched=held.is_watched(),
        )

    def schema(self, folder: Path) -> Product:
        """Definitions alone."""
        argv = self._commands.schema(folder / SCHEMA_FILE)
        self._programs.run(argv)
        return self._product(argv, {}, None)

    def dump(self, folder: Path, name: str, on_size: OnSize) -> Product:
        """The archive; beside it, meanwhile, definitions, globals and digests."""
        with self._content_session() as reading:
            # Sequences obey no snapshot: what is read before pg_dump does, no restore is behind.
            sequences, tables = read_sequences(reading), lock_tables(reading)
            beside: list[tuple[FileEntry, Content]] = []

            def work_beside() -> None:
                self._programs.run(self._commands.schema(folder / SCHEMA_FILE))
                globals_file = self._globals(folder)
                beside.append((globals_file, self._content(reading, tables, sequences)))

            def give_up() -> None:
                self._programs.cancel()
                reading.sever()

            with _meanwhile(work_beside, give_up):
                argv, hashes = self._archive(folder, name, on_size)
        globals_file, content = beside[0]
        return self._product(argv, {**hashes, globals_file.name: globals_file}, content)

    def _archive(
        self, folder: Path, name: str, on_size: OnSize
    ) -> tuple[list[str], dict[str, FileEntry]]:
        """Write the archive; gives the command, and hashes where they could be taken."""
        if shape_of(self._settings, self._abilities) == "directory":
            inside = folder / f"{name}{FOLDER_SUFFIX}"
            argv = self._commands.directory(self._settings, self._abilities, inside)
            self._programs.run(argv, lambda: on_size(_bytes_in(folder)))
            return argv, {}
        argv = self._commands.custom()
        entry = self._stream(argv, folder / f"{name}{STREAM_SUFFIX}", on_size)
        return argv, {entry.name: entry}

    def _stream(self, argv: list[str], file: Path, on_size: OnSize) -> FileEntry:
        """A program's output as one compressed file; it stays only when the program ended well."""
        settings = self._settings
        with (
            Compressing(file, level=settings.compression_level, threads=settings.jobs) as out,
            closing(self._programs.output(argv)) as pieces,
        ):
            told = self._clock.monotonic()
            for piece in pieces:
                out.write(piece)
                if self._clock.monotonic() - told >= TELL_EVERY_S:
                    told = self._clock.monotonic()
                    on_size(out.size_bytes)
        on_size(out.size_bytes)
        return out.entry

    def _globals(self, folder: Path) -> FileEntry:
        """Roles, tablespaces, settings; with passwords only encrypted, and never on disk before."""
        with_passwords = self._settings.role_passwords
        data = self._read_all(self._commands.globals(with_passwords=with_passwords))
        if not ends_whole(data, GLOBALS_END):
            raise EngineFailed("pg_dumpall ended well, but the end of what it wrote is missing")
        if with_passwords:
            recipients = [pyrage.x25519.Recipient.from_str(r) for r in self._settings.recipients]
            return _written(folder / SEALED_GLOBALS_FILE, pyrage.encrypt(data, recipients))
        return _written(folder / GLOBALS_FILE, data)

    def _read_all(self, argv: list[str]) -> bytes:
        data = b""
        with closing(self._programs.output(argv)) as pieces:
            for piece in pieces:
                data += piece
                if len(data) > GLOBALS_MAX_BYTES:
                    raise EngineFailed(f"{argv[0]} wrote more than {GLOBALS_MAX_BYTES} bytes")
        return data

    def _content(
        self,
        reading: SnapshotSession,
        tables: tuple[Table, ...],
        sequences: tuple[SequenceContent, ...],
    ) -> Content:
        settings = self._settings
        return read_content(
            reading,
            self._clock,
            tables,
            sequences,
            mode=settings.digest,
            choose=as_configured(settings.digest, settings.digest_sample_rows),
            timeout_s=min(settings.digest_timeout_s, settings.snapshot_max_s * DIGEST_SHARE),
        )

    def _content_session(self) -> AbstractContextManager[SnapshotSession]:
        return content_session(
            self._target,
            snapshot=self._source.snapshot,
            max_s=self._settings.snapshot_max_s,
            lock_timeout_s=self._lock_wait_s,
        )

    def _product(
        self, argv: list[str], hashes: dict[str, FileEntry], content: Content | None
    ) -> Product:
        shown = tuple(each for each in argv if not each.startswith(RESTRICT_KEY))
        made = Made(self._version, self._commands.tools.major, shown)
        return Product(made, self._source, hashes, environment=self._environment, content=content)


@contextmanager
def _meanwhile(work: Callable[[], None], give_up: Callable[[], None]) -> Iterator[None]:
    """Runs `work` in a thread beside the block; when one of them fails, `give_up` ends the other.

    Raises:
        Exception: of the one that failed first.
    """
    failed: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  raised below, where somebody listens
            failed.append(error)
            give_up()

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    done = False
    try:
        yield
        done = True
    except Exception as error:  # noqa: BLE001  raised below, unless the other one failed first
        failed.append(error)
    finally:
        if not done:
            give_up()
        thread.join()
    if failed:
        raise failed[0]


def _name_of(config: Config, target: Target) -> str:
    """The database's name in config: its server is told apart only where names are equal."""
    fitting = [d for d in config.databases if d.dbname == target.dbname]
    same_server = [d for d in fitting if (d.host, d.port) == (target.host, target.port)]
    return next(d.name for d in [*same_server, *fitting])


def _restrict_key(config: Config, source: Source) -> str:
    """The same for each dump of one database, so that two can be compared, and not to be guessed.

    Whoever knew it could hide commands to psql in the names of tables.
    """
    seal = seal_of(config)
    signature = seal.signer.sign(f"restrict {source.system_identifier} {source.dbname}".encode())
    return hashlib.sha256(signature.signature.encode()).hexdigest()


def _written(file: Path, data: bytes) -> FileEntry:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as opened:
        opened.write(data)
    return FileEntry(file.name, len(data), hashlib.sha256(data).hexdigest())


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))


@contextmanager
def _in_our_words(target: Target) -> Iterator[None]:
    try:
        yield
    except (Unreachable, ToolsMissing, ProcessTimedOut) as error:
        raise EngineFailed(str(error)) from None
    except QueryFailed as error:
        raise EngineFailed(with_remedy(str(error), target)) from None
