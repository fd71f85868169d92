"""Commands of dumps, what a program can, how its end is read, and which files make a dump."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shippyard.backup.compression import Compressing
from shippyard.backup.engines.dump_command import Commands, shape_of
from shippyard.backup.engines.dump_files import DumpReader, archive_name
from shippyard.backup.engines.dump_program import Abilities, DumpPrograms, abilities_of
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.manifest import FileEntry
from shippyard.backup.model import Kind
from shippyard.config.models import Dump
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

TOOLS = Tools(Path("/pg/bin"), 17)
TARGET = Target("db.local", 5433, "shop", "backup_user", password="hunter2hunter2")
COMMANDS = Commands(TOOLS, TARGET, "00000003-0000001B-1", 2.5, "k3y", on_standby=False)
ABLE, PLAIN = Abilities(zstd=True, restrict_key=True), Abilities(zstd=False, restrict_key=False)
SCHEMA = "CREATE TABLE t();\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
GLOBALS = "CREATE ROLE r;\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"


@pytest.mark.parametrize(
    ("wanted", "jobs", "abilities", "shape"),
    [
        ("auto", 2, ABLE, "directory"),
        ("auto", 1, ABLE, "custom"),
        ("auto", 2, PLAIN, "custom"),
        ("custom", 2, ABLE, "custom"),
        ("directory", 1, PLAIN, "directory"),
    ],
)
def test_the_format_is_what_pays(wanted: str, jobs: int, abilities: Abilities, shape: str) -> None:
    settings = Dump.model_validate({"format": wanted, "jobs": jobs})
    assert shape_of(settings, abilities) == shape


def test_a_folder_is_compressed_by_the_program() -> None:
    argv = COMMANDS.directory(Dump(jobs=3, compression_level=5), ABLE, Path("/b/shop.dump"))
    assert argv[0] == "/pg/bin/pg_dump"
    assert {"--format=directory", "--jobs=3", "--compress=zstd:5", "--file=/b/shop.dump"} <= set(
        argv
    )
    assert "--compress=1" in COMMANDS.directory(Dump(), PLAIN, Path("/b/shop.dump"))


def test_a_stream_is_left_uncompressed() -> None:
    assert {"--format=custom", "--compress=0"} <= set(COMMANDS.custom())
    assert not any(each.startswith("--file") for each in COMMANDS.custom())


@pytest.mark.parametrize(
    "argv",
    [
        COMMANDS.custom(),
        COMMANDS.directory(Dump(), ABLE, Path("/b/x")),
        COMMANDS.schema(Path("/b/x")),
        COMMANDS.globals(with_passwords=True),
        COMMANDS.globals(with_passwords=False),
    ],
)
def test_every_command_asks_for_no_password_and_holds_none(argv: list[str]) -> None:
    assert "--no-password" in argv
    assert not any("hunter2" in each for each in argv)
    if argv[0].endswith("pg_dump"):
        assert {
            "--snapshot=00000003-0000001B-1",
            "--lock-wait-timeout=2500",
            "--dbname=shop",
        } <= set(argv)


def test_sql_is_dumped_with_the_key_that_was_given() -> None:
    assert "--restrict-key=k3y" in COMMANDS.schema(Path("/b/x"))
    assert "--no-role-passwords" in COMMANDS.globals(with_passwords=False)
    assert "--no-role-passwords" not in COMMANDS.globals(with_passwords=True)


def test_a_standby_leaves_out_what_it_can_not_read() -> None:
    standby = Commands(TOOLS, TARGET, "x", 1, None, on_standby=True)
    assert "--no-unlogged-table-data" in standby.custom()
    assert "--no-unlogged-table-data" not in COMMANDS.custom()
    assert not any("restrict" in each for each in standby.schema(Path("/b/x")))


def a_program(folder: Path, script: str, name: str = "pg_dump") -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("said", "can"),
    [
        ('connection to server on socket "/nonexistent/.s.PGSQL.5432" failed', True),
        ("this build does not support compression with ZSTD", False),
        ('invalid value "zstd:1" for option -Z/--compress', False),
    ],
)
def test_a_program_is_asked_what_it_can(
    said: str, *, can: bool, processes: Processes, tmp_path: Path
) -> None:
    log = tmp_path / "asked"
    a_program(tmp_path, f"echo x >> {log}; echo 'pg_dump: error: {said}' >&2; exit 1")
    tools = Tools(tmp_path, 17)
    assert abilities_of(processes, tools) == Abilities(zstd=can, restrict_key=False)
    asked = log.read_text()
    assert abilities_of(processes, tools).zstd is can
    assert log.read_text() == asked


def test_another_program_at_the_same_place_is_asked_again(
    processes: Processes, tmp_path: Path
) -> None:
    a_program(tmp_path, "exit 1")
    assert not abilities_of(processes, Tools(tmp_path, 17)).restrict_key
    a_program(tmp_path, "echo ' --restrict-key=KEY'")
    assert abilities_of(processes, Tools(tmp_path, 17)).restrict_key


MakePrograms = Callable[..., DumpPrograms]


@pytest.fixture
def programs(processes: Processes) -> MakePrograms:
    def make(timeout_s: float = 10) -> DumpPrograms:
        return DumpPrograms(
            processes,
            TARGET,
            SystemClock(),
            timeout_s=timeout_s,
            setting="backup.timeout_s",
            watched=True,
        )

    return make


ENDS = [
    (
        """echo "pg_dump: error: query failed: ERROR:  canceling" >&2
        echo "pg_dump: detail: Query was: LOCK TABLE public.t" >&2; exit 1""",
        "query failed: ERROR: canceling; Query was: LOCK TABLE public.t",
    ),
    ("echo oops >&2; exit 3", "oops"),
    ("exit 3", "exit status 3"),
    ('echo "pg_dump: terminated by user" >&2; exit 1', "stopped: pg_dump was asked to end"),
    ("kill -TERM $$", "stopped: pg_dump was asked to end"),
    ("kill -KILL $$", "pg_dump was killed by signal 9"),
    ("exec sleep 60", "pg_dump was ended after 0.3 s; raise backup.timeout_s"),
    (
        'echo "pg_dump: error: permission denied for table t" >&2; exit 1',
        "permission denied for table t; run: GRANT pg_read_all_data TO backup_user",
    ),
    (
        'echo "pg_dump: error: permission denied for large object 7" >&2; exit 1',
        (
            "permission denied for large object 7; as a superuser run: ALTER ROLE backup_user "
            "IN DATABASE shop SET lo_compat_privileges = on"
        ),
    ),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("script", "reason"), ENDS)
def test_an_end_is_one_line(
    script: str, reason: str, *, streamed: bool, programs: MakePrograms, tmp_path: Path
) -> None:
    argv = [a_program(tmp_path, script)]
    run = programs(0.3 if "sleep" in script else 10)
    with pytest.raises(EngineFailed) as failed:
        list(run.output(argv)) if streamed else run.run(argv)
    assert str(failed.value).startswith(reason)
    assert "\n" not in str(failed.value)


def test_output_that_ends_badly_is_never_whole(programs: MakePrograms, tmp_path: Path) -> None:
    argv = [a_program(tmp_path, "echo all of it; exit 1")]
    with (
        pytest.raises(EngineFailed),
        Compressing(tmp_path / "x.zst") as file,
        closing(programs().output(argv)) as pieces,
    ):
        for piece in pieces:
            file.write(piece)
    assert not (tmp_path / "x.zst").exists()


def test_what_it_writes_is_closed_to_others(programs: MakePrograms, tmp_path: Path) -> None:
    ticks: list[int] = []
    file = tmp_path / "out"
    programs().run(
        [a_program(tmp_path, f"echo x > {file}; sleep 0.5")], on_tick=lambda: ticks.append(1)
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert ticks


def test_the_server_is_asked_to_notice_when_we_die(programs: MakePrograms, tmp_path: Path) -> None:
    argv = [a_program(tmp_path, 'echo "$PGOPTIONS $PGAPPNAME $PGPASSWORD"')]
    said = b"".join(programs().output(argv)).decode().strip()
    assert said == "-c client_connection_check_interval=1s shippyard:backup hunter2hunter2"


def test_cancelled_work_ends_at_once_and_begins_nothing(
    programs: MakePrograms, tmp_path: Path
) -> None:
    work, begun = programs(30), time.monotonic()
    with pytest.raises(EngineFailed, match="stopped"):
        work.run([a_program(tmp_path, "sleep 20")], on_tick=work.cancel)
    assert time.monotonic() - begun < 10
    with pytest.raises(EngineFailed, match="another part of the backup failed"):
        work.run([a_program(tmp_path, "exit 0")])


def entries(folder: Path, files: dict[str, bytes]) -> list[FileEntry]:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return [FileEntry(name, len(data), "0" * 64) for name, data in files.items()]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (SCHEMA, True),
        (SCHEMA + f"\\unrestrict {'x' * 63}\n\n", True),
        ("CREATE TABLE t();\n", False),
        ("CREATE TABLE t();\n--\n-- PostgreSQL database dump comp", False),
        (SCHEMA + "CREATE TABLE t();\n" * 100, False),
        ("COMMENT '-- PostgreSQL database dump complete';\n", False),
        ("", False),
    ],
)
def test_sql_without_its_end_is_not_whole(
    text: str, *, whole: bool, processes: Processes, tmp_path: Path
) -> None:
    files = entries(tmp_path, {"schema.sql": text.encode()})
    problems = DumpReader(processes, [TOOLS], 5).problems("schema", tmp_path, files)
    said = "schema.sql can't be decoded: the end of the dump is missing"
    assert problems == ([] if whole else [said])


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("globals.sql", GLOBALS.encode(), None),
        ("globals.sql", GLOBALS[:-30].encode(), "the end of the dump is missing"),
        ("globals.sql", SCHEMA.encode(), "the end of the dump is missing"),
        ("globals.sql.age", b"age-encryption.org/v1\n-> X25519", None),
        ("globals.sql.age", b"age-encryption.org/v2\n-> X25519", "it is no age file"),
    ],
)
def test_globals_have_an_end_of_their_own(
    name: str, data: bytes, problem: str | None, processes: Processes, tmp_path: Path
) -> None:
    files = entries(tmp_path, {"schema.sql": SCHEMA.encode(), name: data})
    problems = DumpReader(processes, [TOOLS], 5).problems("schema", tmp_path, files)
    assert problems == ([f"{name} can't be decoded: {problem}"] if problem else [])


@pytest.mark.parametrize(
    ("kind", "names", "absent"),
    [
        ("schema", ["schema.sql"], []),
        ("schema", [], ["schema.sql"]),
        ("dump", ["schema.sql"], ["the archive", "globals.sql"]),
        ("dump", ["shop.dump/1.dat.zst", "globals.sql"], ["schema.sql", "the archive"]),
    ],
)
def test_a_file_that_is_not_there_is_a_problem(
    kind: Kind, names: list[str], absent: list[str], processes: Processes, tmp_path: Path
) -> None:
    text = {"schema.sql": SCHEMA, "globals.sql": GLOBALS}
    files = entries(tmp_path, {name: text.get(name, "x").encode() for name in names})
    problems = DumpReader(processes, [TOOLS], 5).problems(kind, tmp_path, files)
    assert problems == [f"{each} is missing" for each in absent]


def test_the_archive_is_a_frame_or_a_folder() -> None:
    assert archive_name(["globals.sql", "shop.dump.zst"]) == "shop.dump.zst"
    assert archive_name(["shop.dump/3.dat.zst", "shop.dump/toc.dat"]) == "shop.dump"
    assert archive_name(["schema.sql"]) is None


def test_the_first_program_that_can_read_an_archive_judges_it(
    processes: Processes, tmp_path: Path
) -> None:
    made = []
    for name, script in {
        "old": "echo 'pg_restore: error: unsupported version (1.16) in file header' >&2; exit 1",
        "bare": "echo 'pg_restore: error: this build does not support compression' >&2; exit 1",
        "able": "cat >/dev/null",
    }.items():
        (tmp_path / name).mkdir()
        a_program(tmp_path / name, script, "pg_restore")
        made.append(Tools(tmp_path / name, 17))
    with Compressing(tmp_path / "shop.dump.zst") as file:
        file.write(b"x" * 3_000_000)
    files = [file.entry, *entries(tmp_path, {"schema.sql": SCHEMA.encode()})]
    files += entries(tmp_path, {"globals.sql": GLOBALS.encode()})
    assert DumpReader(processes, made, 5).problems("dump", tmp_path, files) == []
    problems = DumpReader(processes, made[:2], 5).problems("dump", tmp_path, files)
    assert problems == ["shop.dump.zst can't be decoded: this build does not support compression"]


def test_a_checksum_behind_what_pg_restore_reads_is_read_too(
    processes: Processes, tmp_path: Path
) -> None:
    a_program(tmp_path, "head -c 10 >/dev/null", "pg_restore")
    with Compressing(tmp_path / "shop.dump.zst") as file:
        file.write(b"x" * 3_000_000)
    data = bytearray(file.path.read_bytes())
    data[-1] ^= 1
    file.path.write_bytes(data)
    files = [file.entry, *entries(tmp_path, {"schema.sql": SCHEMA.encode()})]
    files += entries(tmp_path, {"globals.sql": GLOBALS.encode()})
    problems = DumpReader(processes, [Tools(tmp_path, 17)], 5).problems("dump", tmp_path, files)
    assert problems == ["shop.dump.zst can't be decoded: the content differs from its checksum"]
