"""Proves that bad input ends in one line and a documented exit code, and harms nothing."""

import copy
import json
import os
import secrets
import shutil
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from proofs.program import Ran, shippyard
from proofs.rig import DATABASE, Rig, database, free_port, rig, scratch_cluster, toml
from proofs.table import Context, CouldNotRun, Outcome
from proofs.waiting import until
from shippyard.host.process import Processes

FAILED, USAGE, UNREACHABLE, NOT_PERMITTED = 1, 2, 4, 5

CREDENTIAL = "locked-password"
LONG_LINE_BYTES = 1_000_000

# Reads every file, so that Python starts wherever it is installed, and may write to none.
AS_NOBODY = (
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--",
)


@dataclass(frozen=True)
class Case:
    """One bad input, how it ended, and how it should have."""

    name: str
    ran: Ran
    code: int
    says: str

    def problems(self) -> list[str]:
        """Everything that is not as documented."""
        lines = self.ran.stderr.splitlines()
        found = []
        if self.ran.returncode != self.code:
            found.append(f"exit {self.ran.returncode} instead of {self.code}")
        if len(lines) != 1:
            found.append(f"{len(lines)} lines on stderr instead of 1")
        if self.says not in self.ran.stderr:
            found.append(f"does not say {self.says!r} but {self.ran.stderr.strip()[-200:]!r}")
        return [f"{self.name}: {problem}" for problem in found]


def bad_input(context: Context) -> Outcome:
    """Every bad input of the list, against one daemon that has to live through all of it."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise CouldNotRun("needs root and setpriv, to ask as a user who may not")
    wrong_password = f"wrong-{secrets.token_hex(8)}"
    with rig(context) as stage, ExitStack() as undo:
        processes = Processes()
        undo.callback(processes.end_all)
        locked = undo.enter_context(scratch_cluster(context.folder / "locked", processes))
        _lock(locked.data_dir, locked.target().conninfo())
        _guard_bad_databases(stage, str(locked.socket_dir), wrong_password)
        daemon = stage.start()
        cases = [*_configurations(stage), *_commands(stage), *_strangers(stage)]
        problems = [problem for case in cases for problem in case.problems()]
        problems += _garbage(stage)
        problems += _shown(stage, wrong_password, [case.ran for case in cases])
        if not daemon.running or stage.up() != 1:
            problems.append("the daemon was harmed")
        daemon.end()
    measured = f"{len(cases) + 2} bad inputs, {len(problems)} problems"
    note = "; ".join(problems) or "; ".join(f"{c.name}: exit {c.code}" for c in cases)
    return Outcome(
        measured if not problems else measured.split(";", maxsplit=1)[0], ok=not problems, note=note
    )


def _configurations(stage: Rig) -> list[Case]:
    unknown, wrong = copy.deepcopy(stage.document), copy.deepcopy(stage.document)
    unknown["backup"]["dump_schedul"] = ""
    wrong["http"]["port"] = "many"
    return [
        Case("unknown key", _run_with(stage, unknown), USAGE, "did you mean 'dump_schedule'"),
        Case("wrong type", _run_with(stage, wrong), USAGE, "http.port"),
        Case(
            "missing file",
            shippyard("run", "--config", str(stage.folder / "absent.toml")),
            USAGE,
            "absent.toml",
        ),
    ]


def _commands(stage: Rig) -> list[Case]:
    dump = ("--json", "--kind", "schema")
    revision = ("migrate", "nosuchrevision", "--database", DATABASE, "--yes", "--json")
    absent = str(stage.folder / "absent.sock")
    return [
        Case("unreachable server", stage.ctl("backup", "run", "gone", *dump), FAILED, "gone"),
        Case("wrong password", stage.ctl("backup", "run", "locked", *dump), FAILED, "locked"),
        Case("unknown revision", stage.ctl(*revision), USAGE, "nosuchrevision"),
        Case("unknown database", stage.ctl("backup", "run", "shopp", *dump), USAGE, "shopp"),
        Case("no daemon", shippyard("ctl", "--socket", absent, "status"), UNREACHABLE, absent),
        Case("unknown command", stage.ctl("statsu"), USAGE, "statsu"),
    ]


def _strangers(stage: Rig) -> list[Case]:
    """A user who may not open the socket, and one who may but has no role."""
    closed = stage.ctl("status", "--json", prefix=AS_NOBODY)
    stage.socket.chmod(0o666)
    no_role = stage.ctl("status", "--json", prefix=AS_NOBODY)
    stage.socket.chmod(0o660)
    return [
        Case("socket not permitted", closed, NOT_PERMITTED, "control.sock"),
        Case("no role", no_role, NOT_PERMITTED, "nobody"),
    ]


def _run_with(stage: Rig, document: dict[str, object]) -> Ran:
    path = stage.folder / "bad.toml"
    path.write_text(toml(document))
    return shippyard("run", "--config", str(path))


def _garbage(stage: Rig) -> list[str]:
    """What is no request is refused in one frame, and the next caller is served."""
    lines: Sequence[tuple[str, bytes]] = (
        ("garbage", b"\x00\xff{[ not json\n"),
        ("a 1 MB line", b"x" * LONG_LINE_BYTES + b"\n"),
    )
    problems = []
    for name, line in lines:
        answer = _said_to(stage.socket, line)
        if not _is_refusal(answer):
            problems.append(f"{name}: answered {answer[:100]!r}")
        if stage.ctl("status", "--json").returncode != 0:
            problems.append(f"{name}: the next caller was not served")
    return problems


def _said_to(path: Path, line: bytes) -> bytes:
    """All that the daemon answers to one line before it hangs up."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(path))
        answer = b""
        # It may hang up in the middle; what it said is still to be read.
        with suppress(OSError):
            link.sendall(line)
        with suppress(ConnectionResetError):
            while part := link.recv(65536):
                answer += part
    return answer


def _is_refusal(answer: bytes) -> bool:
    lines = answer.splitlines()
    return len(lines) == 1 and json.loads(lines[0])["type"] == "error"


def _lock(data_dir: Path, admin: dict[str, Any]) -> None:
    """Make the second cluster ask for a password."""
    with psycopg.connect(**admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"'.encode())
        connection.execute("SET password_encryption = 'scram-sha-256'")
        connection.execute(f"ALTER ROLE postgres PASSWORD '{secrets.token_hex(8)}'".encode())
        (data_dir / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    until(lambda: not _opens(admin), 10, "the second cluster asks for a password")


def _opens(admin: dict[str, Any]) -> bool:
    try:
        psycopg.connect(**admin).close()
    except psycopg.OperationalError:
        return False
    return True


def _guard_bad_databases(stage: Rig, locked: str, wrong_password: str) -> None:
    credentials = stage.folder / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / CREDENTIAL).write_text(f"{wrong_password}\n")
    stage.env["SHIPPYARD_CREDENTIALS"] = str(credentials)
    stage.document["databases"] += [
        database("gone", "127.0.0.1", port=free_port()),
        database("locked", locked, password_credential=CREDENTIAL),
    ]


def _shown(stage: Rig, wrong_password: str, commands: list[Ran]) -> list[str]:
    """Everywhere the password can be read but in its credential."""
    places = {f"command {n}": ran.stdout + ran.stderr for n, ran in enumerate(commands)}
    places["ctl health"] = stage.ctl("health", "--json").stdout
    for path in ("/metrics", "/readyz", "/healthz"):
        places[path] = stage.scrape(path).body
    if stage.daemon is not None:
        places["the log"] = stage.daemon.said()
    for file in stage.folder.rglob("*"):
        if file.is_file() and file.name != CREDENTIAL:
            places[file.name] = file.read_bytes().decode(errors="replace")
    return [
        f"the password is shown in {name}"
        for name, text in places.items()
        if wrong_password in text
    ]
