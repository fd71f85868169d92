"""Arguments of pg_dump, how its end is read, and the end marker of SQL."""

from pathlib import Path

import pytest

from shippyard.backup.engines.pg_dump import (
    DumpFailed,
    artifact_name,
    dump_argv,
    undecodable,
    write_artifact,
)
from shippyard.backup.model import Kind
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

TOOLS = Tools(Path("/pg/bin"), 15)
TARGET = Target("db.local", 5433, "shop", "backup_user", password="hunter2hunter2")
END = "--\n-- PostgreSQL database dump complete\n--\n"


def test_a_full_dump_is_in_custom_format() -> None:
    argv = dump_argv(TOOLS, TARGET, "dump", Path("/b/shop.dump"), 2.5)
    assert argv[0] == "/pg/bin/pg_dump"
    assert "--format=custom" in argv
    assert "--schema-only" not in argv
    assert "--file=/b/shop.dump" in argv
    assert "--lock-wait-timeout=2500" in argv
    assert "--no-password" in argv
    assert "--dbname=shop" in argv


def test_a_schema_dump_is_plain_sql() -> None:
    argv = dump_argv(TOOLS, TARGET, "schema", Path("/b/schema.sql"), 5)
    assert {"--format=plain", "--schema-only"} <= set(argv)


@pytest.mark.parametrize("kind", ["dump", "schema"])
def test_no_argument_holds_the_password(kind: Kind) -> None:
    argv = dump_argv(TOOLS, TARGET, kind, Path("/b/x"), 5)
    assert not any("hunter2" in argument for argument in argv)
    assert TARGET.environment()["PGPASSWORD"] == "hunter2hunter2"


def test_artifacts_are_named_for_what_they_are() -> None:
    assert artifact_name("shop", "dump") == "shop.dump"
    assert artifact_name("shop", "schema") == "schema.sql"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"CREATE TABLE t();\n\n{END}\n", None),
        (f"CREATE TABLE t();\n\n{END}\n\\unrestrict {'x' * 63}\n\n", None),
        ("CREATE TABLE t();\n", "the end of the dump is missing"),
        (
            "CREATE TABLE t();\n--\n-- PostgreSQL database dump comp",
            "the end of the dump is missing",
        ),
        (f"--\n{END}\n" + "CREATE TABLE t();\n" * 100, "the end of the dump is missing"),
        ("COMMENT '-- PostgreSQL database dump complete';\n", "the end of the dump is missing"),
        ("", "the end of the dump is missing"),
    ],
)
def test_sql_without_its_end_is_not_whole(
    text: str, problem: str | None, processes: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(text)
    assert undecodable(processes, TOOLS, file, 5) == problem


def a_program(folder: Path, script: str) -> str:
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
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
    ],
)
def test_an_end_is_one_line(script: str, reason: str, processes: Processes, tmp_path: Path) -> None:
    with pytest.raises(DumpFailed) as failed:
        write_artifact(
            processes,
            [a_program(tmp_path, script)],
            TARGET,
            tmp_path / "out",
            timeout_s=0.3 if "sleep" in script else 10,
            on_size=lambda _: None,
        )
    assert str(failed.value).startswith(reason)
    assert "\n" not in str(failed.value)


def test_the_file_is_closed_to_others_and_its_growth_is_told(
    processes: Processes, tmp_path: Path
) -> None:
    sizes: list[int] = []
    file = tmp_path / "out"
    program = a_program(tmp_path, f"printf 12345 > {file}\nsleep 0.3")
    write_artifact(processes, [program], TARGET, file, timeout_s=10, on_size=sizes.append)
    assert file.stat().st_mode & 0o777 == 0o600
    assert sizes
    assert sizes[-1] == 5
