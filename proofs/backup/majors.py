"""Owns the rows about servers of every major, and about a backup role that may do too little."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from proofs.backup.shelf import Shelf, server, servers, shelf
from proofs.table import Context, CouldNotRun, Outcome, Row
from shippyard.backup.engines.dump_files import archive_name
from shippyard.backup.manifest import Manifest
from shippyard.backup.model import BackupFailed
from shippyard.backup.restore.compare import compare_content
from shippyard.backup.restore.logical import restore_dump
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes

MAJORS = (15, 17, 18)
RESTORE_TIMEOUT_S = 300.0
PASSWORD = "hunter2-in-the-proof"
POOR = "keeper"
TOLD = "as a superuser run: "
# To read tables, to see all their rows, to read large objects.
LACKING = 3
SAMPLE_PAUSE_S = 0.005


def majors(context: Context) -> Outcome:
    """Dump, verify, restore beside it and compare, on each major that is here."""
    found = servers(Processes())
    missing = [major for major in MAJORS if major not in found]
    if missing:
        raise CouldNotRun(
            f"no PostgreSQL {missing[0]} server here; `make matrix` brings what pip has"
        )
    said, problems = [], []
    for major in MAJORS:
        with shelf(context.folder / str(major), found[major]) as stage:
            text, wrong = _round_trip(stage)
        said.append(f"{major}: {text}")
        problems += [f"{major}: {each}" for each in wrong]
    return Outcome("; ".join(said), ok=not problems, note="; ".join(problems))


def _round_trip(stage: Shelf) -> tuple[str, list[str]]:
    """What was dumped and restored, in a few words, and what was not as it must be."""
    folder = stage.take("dump")
    schema = stage.take("schema")
    manifest = stage.seal.read(folder)
    problems = [said for each in (folder, schema) for said in _refused(stage, each)]
    if manifest.made.tool_major != stage.tools.major:
        problems.append(f"made with tools of {manifest.made.tool_major}")
    copy = replace(stage.cluster.target(), dbname="copy")
    restore_dump(
        folder,
        manifest,
        copy,
        processes=stage.processes,
        tools=stage.tools,
        jobs=2,
        timeout_s=RESTORE_TIMEOUT_S,
    )
    problems += compare_content(manifest, copy, SystemClock(), timeout_s=RESTORE_TIMEOUT_S)
    return _described(manifest), problems


def _refused(stage: Shelf, folder: Path) -> Sequence[str]:
    return stage.service.verify(folder.name).problems


def _described(manifest: Manifest) -> str:
    assert manifest.content is not None
    names = [entry.name for entry in manifest.files]
    shape = "our zstd frame" if (archive_name(names) or "").endswith(".zst") else "folder, zstd"
    tables = manifest.content.tables
    equal = sum(1 for table in tables if table.digest)
    return f"{shape}, {equal} of {len(tables)} tables equal by digest after a restore"


def rights(context: Context) -> Outcome:
    """A role that may only connect: what it is told to run is run, and then it works."""
    folder, tools = context.folder / "rights", server(Processes(), MAJORS[0])
    with shelf(folder, tools, user=POOR, password=PASSWORD) as stage:
        stage.execute(
            f"CREATE ROLE {POOR} LOGIN PASSWORD '{PASSWORD}'",
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        )
        refusal = _refusal(stage)
        statements = [each for each in refusal.partition(TOLD)[2].split("; ") if each]
        stage.execute(*statements)
        with _Watch() as watch:
            made = stage.take("dump")
        problems = [*_refused(stage, made), *watch.problems, *_open_to_others(made)]
        if len(statements) != LACKING:
            problems.append(f"{LACKING} statements were expected")
    measured = (
        f"told {len(statements)} statements in one line; ran them, and the dump passed; "
        f"{watch.looked} command lines looked at, {len(watch.problems)} with the password; "
        "files 0600"
    )
    return Outcome(measured, ok=not problems, note="; ".join([*problems, refusal]))


def _refusal(stage: Shelf) -> str:
    try:
        stage.take("dump")
    except BackupFailed as failed:
        return str(failed)
    return "it was not refused"


def _open_to_others(folder: Path) -> list[str]:
    return [
        f"{path} is open to others" for path in folder.rglob("*") if path.stat().st_mode & 0o077
    ]


class _Watch:
    """Reads every command line of the machine, over and over, while a block runs."""

    def __init__(self) -> None:
        self.looked = 0
        self._shown: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @property
    def problems(self) -> list[str]:
        """Programs whose command line held the password."""
        return [f"the password stood in the command line of {each}" for each in self._shown]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(SAMPLE_PAUSE_S):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                # Programs end while they are looked at.
                with contextlib.suppress(OSError):
                    line = file.read_bytes()
                    self.looked += bool(line)
                    if PASSWORD.encode() in line:
                        self._shown.add(line.split(b"\0", 1)[0].decode(errors="replace"))


ROWS = (
    Row(
        "majors",
        "Dumps of every major: made by its own tools, verified, restored, equal by content",
        "PostgreSQL 15, 17 and 18",
        majors,
    ),
    Row(
        "rights",
        "A backup role with too few rights is told what to run, and that is enough",
        "all of it in one line; no secret in argv, files 0600",
        rights,
    ),
)
