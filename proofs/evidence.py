"""Owns `docs/evidence.md`: one Markdown table of figures, one line per row, merged by name.

Says where a figure comes from: command, commit, date, machine. Knows nothing of what was measured,
and leaves every other line of the file alone.
"""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

INTRODUCTION = """\
# Evidence

What was claimed, what was measured, and how to measure it again. Written by the proofs themselves
(`make proof-loop WRITE=1`, and `proof-backups`, `-schema`, `-migrations`, `-health`); a figure
stands here only because a run gave it.
"""

UNMEASURED = frozenset({"not run"})


@dataclass(frozen=True)
class Record:
    """One line of the table."""

    row: str
    claim: str
    goal: str
    figure: str
    verdict: str
    command: str
    date: str
    commit: str
    machine: str


COLUMNS = tuple(each.name for each in fields(Record))


def merge(text: str, records: Sequence[Record]) -> str:
    """The file with `records` in it; rows of other names stay, others' figures are replaced.

    A row that could not run never replaces a figure.
    """
    before, kept, after = _parted(text or INTRODUCTION)
    table = {record.row: record for record in kept}
    for record in records:
        measured_before = record.row in table and table[record.row].verdict not in UNMEASURED
        if not (measured_before and record.verdict in UNMEASURED):
            table[record.row] = record
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_written, table.values())]
    return "\n".join([*_trimmed(before), "", *lines, *after]) + "\n"


def commit_of(root: Path) -> str:
    """The commit that is checked out, with `+` when the tree differs from it."""
    head = _git(root, "rev-parse", "--short=10", "HEAD")
    # What a proof itself writes does not make another program of it.
    changed = _git(root, "status", "--porcelain", "--", ".", ":!docs/evidence.md")
    return f"{head}+" if changed else head


def machine() -> str:
    """This machine in a few words: cores, memory, kernel, Debian, Python."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = re.match(r"[\d.]+", platform.release())
    return ", ".join(
        (
            f"{os.cpu_count()} cores",
            f"{memory_gib:.0f} GiB",
            f"{platform.system()} {kernel[0] if kernel else platform.release()}",
            _distribution(),
            f"Python {platform.python_version()}",
        )
    )


def _distribution() -> str:
    debian = Path("/etc/debian_version")
    if debian.exists():
        return f"Debian {debian.read_text().strip()}"
    return platform.freedesktop_os_release().get("PRETTY_NAME", "another distribution")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _parted(text: str) -> tuple[list[str], list[Record], list[str]]:
    """What stands before the table, its records, and what stands after."""
    lines = text.splitlines()
    header = _line(COLUMNS)
    if header not in lines:
        return lines, [], []
    begin = lines.index(header)
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return lines[:begin], [_read(line) for line in lines[begin + 2 : end]], lines[end:]


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def _written(record: Record) -> str:
    row, *rest = (_escaped(cell) for cell in astuple(record))
    return _line([row, *rest[:4], f"`{rest[4]}`", *rest[5:]])


def _read(line: str) -> Record:
    cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    record = Record(*cells)
    return replace(record, command=record.command.strip("`"))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
