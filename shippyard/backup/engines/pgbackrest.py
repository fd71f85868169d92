"""Owns pgBackRest: its commands, and how what it prints is read.

Its `verify` exits 0 whatever it finds, and looks for no gap between segments (measured on 2.45
and 2.55): the text is parsed here, and continuity is judged by our own scan of the names it holds.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.engines.repository import Held, answer_of
from shippyard.backup.wal.names import is_history
from shippyard.host.process import Processes

MINIMUM = (2, 55)
QUICK_TIMEOUT_S = 60.0

_SEGMENT = re.compile(r"/?([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?$")
_HISTORY = re.compile(r"/?([0-9A-F]{8}\.history)(?:\.\w+)?$")
_COUNTS = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")


@dataclass(frozen=True)
class PgBackRest:
    """One stanza. `config` is its configuration file."""

    stanza: str
    processes: Processes
    timeout_s: float
    config: Path | None = None
    program: str = "pgbackrest"
    name: str = "pgbackrest"

    def version(self) -> str:
        """The program's version.

        Raises:
            EngineFailed: it is not here, or older than 2.55.
        """
        said = self._answer("version", bare=True, timeout_s=QUICK_TIMEOUT_S).strip()
        found = re.search(r"(\d+)\.(\d+)", said)
        if not found or tuple(map(int, found.groups())) < MINIMUM:
            raise EngineFailed(f"{said} is too old; Shippyard works with pgBackRest 2.55 and newer")
        return said

    def held(self) -> list[Held]:
        """The backups of the stanza, oldest first.

        Raises:
            EngineFailed: the stanza is unknown, or the repository can't be read.
        """
        return parse_info(self._answer("info", "--output=json", timeout_s=QUICK_TIMEOUT_S))

    def back_up(self, *, incremental: bool) -> None:
        """Take one backup. pgBackRest's own lock keeps a second one out.

        Raises:
            EngineFailed: it failed, or another one is being made.
        """
        self._answer("backup", f"--type={'incr' if incremental else 'full'}")

    def problems(self, label: str) -> list[str]:
        """What `verify` finds, read from its text, as far as it concerns `label` or any WAL."""
        return parse_verify(self._answer("verify", "--output=text", "--verbose"), label)

    def segments(self) -> Sequence[str]:
        """Names of the WAL segments and history files in the archive, sorted."""
        return parse_archive(self._listing())

    def lay_out(self, label: str, data_dir: Path, tablespaces: Path) -> None:
        """Restore into `data_dir`; no tablespace stays where production has it.

        Raises:
            EngineFailed: pgBackRest refused, or a file was damaged.
        """
        self._answer(
            "restore",
            f"--set={label}",
            f"--pg1-path={data_dir}",
            f"--tablespace-map-all={tablespaces}",
            "--type=none",
        )

    def fetch(self, name: str, into: Path, data_dir: Path) -> None:
        """See `Repository`. For a segment pgBackRest asks `data_dir` which cluster it is of.

        Histories are kept as they are, so that the repository itself gives them.

        Raises:
            EngineFailed: it is not there, or damaged.
        """
        if is_history(name):
            into.write_text(self._answer("repo-get", self._path_of(name), bare=True))
            return
        place = f"--pg1-path={data_dir}"
        self._answer("archive-get", place, "--no-archive-async", name, str(into.resolve()))

    def _listing(self) -> str:
        return self._answer(
            "repo-ls", "--recurse", "--output=json", f"archive/{self.stanza}", bare=True
        )

    def _path_of(self, name: str) -> str:
        """Where the archive has a history; of two clusters' the newer one's."""
        found = sorted(path for path in json.loads(self._listing()) if path.endswith(name))
        if not found:
            raise EngineFailed(f"{name} is not in pgbackrest's archive")
        return f"archive/{self.stanza}/{found[-1]}"

    def _argv(self, command: str, *, bare: bool = False) -> list[str]:
        config = [f"--config={self.config}"] if self.config else []
        stanza = [] if bare else [f"--stanza={self.stanza}"]
        return [self.program, *config, *stanza, "--log-level-console=off", command]

    def _answer(
        self,
        command: str,
        *arguments: str,
        bare: bool = False,
        timeout_s: float | None = None,
    ) -> str:
        argv = self._argv(command, bare=bare)
        if command == "version":
            argv = [self.program, "version"]
        else:
            argv.insert(-1, "--log-level-stderr=error")
        with tempfile.TemporaryFile() as scratch:
            return answer_of(
                self.processes,
                [*argv, *arguments],
                timeout_s=timeout_s or self.timeout_s,
                scratch=scratch,
            )


def parse_info(text: str) -> list[Held]:
    """The backups in `info --output=json`, oldest first.

    Raises:
        EngineFailed: not JSON, the stanza is unknown, or the repository says that it is ill.
    """
    try:
        stanzas = json.loads(text)
        stanza = stanzas[0]
        code, said = stanza["status"]["code"], stanza["status"]["message"]
    except (ValueError, LookupError, TypeError):
        raise EngineFailed("pgbackrest info said nothing that can be read") from None
    # 2: the stanza is well, it only has no backup yet.
    if code not in (0, 2):
        raise EngineFailed(f"pgbackrest: {said}; see `pgbackrest --stanza={stanza['name']} check`")
    return [_held(each) for each in stanza["backup"]]


def _held(backup: dict[str, Any]) -> Held:
    lsn = backup.get("lsn") or {}
    return Held(
        label=backup["label"],
        parent=backup["prior"],
        wal_first=backup["archive"]["start"],
        wal_last=backup["archive"]["stop"],
        lsn_start=lsn.get("start"),
        lsn_stop=lsn.get("stop"),
        stopped_at=datetime.fromtimestamp(backup["timestamp"]["stop"], UTC),
        size_bytes=backup["info"]["repository"]["size"],
        sound=not backup.get("error", False),
    )


def parse_verify(text: str, label: str) -> list[str]:
    """What is wrong according to the text of `verify`: with the WAL, or with the backup `label`.

    A text that does not speak of the backup proves nothing, and says so.
    """
    sections = list(_sections(text))
    problems = [
        f"pgbackrest verify: {head}: {count} {what}"
        for head, body in sections
        if head.startswith("archiveId") or head == f"backup {label}"
        for what, count in _COUNTS.findall(body)
        if count != "0"
    ]
    if not any(head == f"backup {label}" for head, _ in sections):
        problems.append(f"pgbackrest verify did not look at {label}")
    if "status: error" in text and not problems:
        problems.append("pgbackrest verify reports an error elsewhere in the repository")
    return problems


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Each archive and backup of the report, by a short head, with the text about it."""
    for part in re.split(r"\n\s*(?=archiveId: |backup: )", text):
        kind, _, rest = part.strip().partition(": ")
        if kind in ("archiveId", "backup"):
            yield f"{kind} {rest.split(',', 1)[0].strip()}", part


def parse_archive(text: str) -> list[str]:
    """Names of segments and history files in `repo-ls --recurse --output=json`.

    Raises:
        EngineFailed: not a listing.
    """
    try:
        paths = list(json.loads(text))
    except (ValueError, TypeError):
        raise EngineFailed("pgbackrest repo-ls said nothing that can be read") from None
    found = (_SEGMENT.search(path) or _HISTORY.search(path) for path in paths)
    return sorted({match.group(1) for match in found if match})
