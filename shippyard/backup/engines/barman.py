"""Owns Barman: its commands, and how what it prints is read.

A backup that was killed stays STARTED with Barman and shows as no failure (measured on 3.4): only
DONE counts here, each is verified by its own command, and continuity is judged by our own scan.
"""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.engines.repository import Held, answer_of
from shippyard.host.process import Processes

MINIMUM = (3, 4)
QUICK_TIMEOUT_S = 60.0

_WAL_NAME = re.compile(r"(?:^|/)([0-9A-F]{24}|[0-9A-F]{8}\.history)$")


@dataclass(frozen=True)
class Barman:
    """One server of Barman's. `config` is its configuration file."""

    stanza: str
    processes: Processes
    timeout_s: float
    config: Path | None = None
    program: str = "barman"
    name: str = "barman"

    def version(self) -> str:
        """The program's version.

        Raises:
            EngineFailed: it is not here, or older than 3.4.
        """
        said = self._answer("--version", timeout_s=QUICK_TIMEOUT_S).split()
        found = re.match(r"(\d+)\.(\d+)", said[0] if said else "")
        if not found or tuple(map(int, found.groups())) < MINIMUM:
            raise EngineFailed(f"Barman {said[:1]} is too old; Shippyard works with 3.4 and newer")
        return f"Barman {said[0]}"

    def held(self) -> list[Held]:
        """The backups of the server, oldest first; those that never ended are not sound.

        Raises:
            EngineFailed: the server is unknown, or the catalogue can't be read.
        """
        return [self._described(label) for label in self._labels()]

    def back_up(self, *, incremental: bool) -> None:
        """Take one backup and wait for its WAL.

        Raises:
            EngineFailed: it failed; or an incremental one was asked for, which is not Barman's.
        """
        if incremental:
            raise EngineFailed(
                "Barman takes no incremental backups here; leave incremental_schedule empty"
            )
        self._answer("backup", "--wait", self.stanza)

    def problems(self, label: str) -> list[str]:
        """What Barman finds: by its own check of the WAL, and by pg_verifybackup of the files."""
        problems = []
        for command in ("check-backup", "verify-backup"):
            try:
                self._answer(command, self.stanza, label)
            except EngineFailed as error:
                problems.append(f"barman {command}: {error}")
        if not self._described(label).sound:
            problems.append(f"barman says that {label} is not DONE")
        return problems

    def segments(self) -> Sequence[str]:
        """Names of the WAL segments and history files since the oldest backup, sorted.

        Barman lists what its own record says; a file that is not there is left out.
        """
        labels = self._labels()
        if not labels:
            return []
        listing = self._answer("list-files", "--target", "wal", self.stanza, labels[0])
        there = (line.strip() for line in listing.splitlines() if Path(line.strip()).is_file())
        found = (_WAL_NAME.search(line) for line in there)
        return sorted({match.group(1) for match in found if match})

    def lay_out(self, label: str, data_dir: Path, tablespaces: Path) -> None:
        """Restore into `data_dir`; every tablespace goes under `tablespaces`, by its oid.

        Raises:
            EngineFailed: Barman refused, or a file was damaged: it copies what there is, so that is
                asked before.
        """
        self._answer("verify-backup", self.stanza, label)
        spaces = self._shown(label).get("tablespaces") or []
        remapped = [
            f"--tablespace={each['name']}:{tablespaces / str(each['oid'])}" for each in spaces
        ]
        self._answer("recover", "--get-wal", *remapped, self.stanza, label, str(data_dir))

    def fetch(self, name: str, into: Path, data_dir: Path) -> None:  # noqa: ARG002  it has only one cluster
        """See `Repository`.

        Raises:
            EngineFailed: it is not there, or can't be read.
        """
        with tempfile.TemporaryDirectory(prefix=".get-wal-", dir=into.parent) as folder:
            self._answer("get-wal", f"--output-directory={folder}", self.stanza, name)
            (Path(folder) / name).rename(into)

    def _labels(self) -> list[str]:
        listed = self._json("list-backup", self.stanza).get(self.stanza, [])
        return sorted(each["backup_id"] for each in listed)

    def _described(self, label: str) -> Held:
        return parse_backup(self._shown(label))

    def _shown(self, label: str) -> dict[str, Any]:
        shown: dict[str, Any] = self._json("show-backup", self.stanza, label)[self.stanza]
        return shown

    def _json(self, *arguments: str) -> dict[str, Any]:
        text = self._answer("--format=json", *arguments, timeout_s=QUICK_TIMEOUT_S)
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise EngineFailed(f"barman {arguments[0]} said nothing that can be read") from None
        return answer

    def _argv(self, *arguments: str) -> list[str]:
        return [self.program, *([f"--config={self.config}"] if self.config else []), *arguments]

    def _answer(self, *arguments: str, timeout_s: float | None = None) -> str:
        with tempfile.TemporaryFile() as scratch:
            return answer_of(
                self.processes,
                self._argv(*arguments),
                timeout_s=timeout_s or self.timeout_s,
                scratch=scratch,
            )


def parse_backup(shown: dict[str, Any]) -> Held:
    """One backup as `show-backup` in JSON describes it."""
    files = shown.get("base_backup_information") or {}
    return Held(
        label=shown["backup_id"],
        parent=None,
        wal_first=files.get("begin_wal", ""),
        wal_last=files.get("end_wal", ""),
        lsn_start=files.get("begin_lsn"),
        lsn_stop=files.get("end_lsn"),
        stopped_at=datetime.fromtimestamp(float(files.get("end_time_timestamp", 0)), UTC),
        size_bytes=files.get("disk_usage_bytes", 0),
        sound=shown.get("status") == "DONE",
    )
