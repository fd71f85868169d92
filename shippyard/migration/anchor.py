"""Owns what stands beside the audit's database and says what it must hold: signed heads, in files.

`audit.anchor` gets a signed line of each entry before that is committed, so that an entry without
one was written past us. `audit.head` has the newest committed head alone: whoever cuts database and
anchor at one place can't make an older head, because it is signed for another purpose and no copy
of it stays here. One who kept a copy of all of it may put that back: only the log and our copies
off the machine tell then.
"""

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shippyard.host.files import write_atomically
from shippyard.host.signing import Signature, SignatureInvalid, Signer, check

LINES_FILE = "audit.anchor"
HEAD_FILE = "audit.head"
LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64}) (\S{1,64}) (\S{1,128})")
ENTRY_PURPOSE = b"shippyard audit entry 1\n"
HEAD_PURPOSE = b"shippyard audit head 1\n"


@dataclass(frozen=True)
class Anchored:
    """What the files say: heads by entry, the newest entry that was committed, what is amiss.

    `newest` is None when nobody can say. `gone` names a file that is not there.
    """

    heads: Mapping[int, frozenset[str]]
    newest: int | None
    newest_head: str | None
    gone: str | None
    problems: tuple[str, ...]


class Anchor:
    """Writes and reads both files; `trusted` are public keys that may have signed."""

    def __init__(self, folder: Path, signer: Signer, trusted: Collection[str] = ()) -> None:
        self._lines = folder / LINES_FILE
        self._head = folder / HEAD_FILE
        self._signer = signer
        self._trusted = frozenset({signer.public_key, *trusted})

    @property
    def is_there(self) -> bool:
        """Something was anchored once."""
        return self._lines.exists() or self._head.exists()

    def announce(self, seq: int, head: str) -> None:
        """An entry is about to be committed.

        Raises:
            OSError: that can't be written; the entry must not be either.
        """
        with self._lines.open("ab+") as file:
            half = file.tell() > 0 and _last_byte(file.fileno(), file.tell()) != b"\n"
            # a crash may have left half of a line: what follows must not be lost with it
            file.write(b"\n" * half + self._line(ENTRY_PURPOSE, seq, head))
            file.flush()
            os.fsync(file.fileno())

    def committed(self, seq: int, head: str) -> None:
        """An entry is the newest one now.

        Raises:
            OSError: that can't be written.
        """
        write_atomically(self._head, self._line(HEAD_PURPOSE, seq, head))

    def read(self) -> Anchored:
        """All that is signed, and what is not."""
        heads: dict[int, set[str]] = {}
        problems = []
        for number, text in enumerate(_text(self._lines).splitlines(), start=1):
            found = self._checked(ENTRY_PURPOSE, text)
            if found:
                heads.setdefault(found[0], set()).add(found[1])
            elif LINE.fullmatch(text):
                problems.append(f"{self._lines} line {number} is not signed by a key of ours")
        head = self._checked(HEAD_PURPOSE, _text(self._head).strip())
        if self._head.exists() and head is None:
            problems.append(f"{self._head} is not signed by a key of ours")
        gone = next((str(file) for file in (self._lines, self._head) if not file.exists()), None)
        return Anchored(
            {seq: frozenset(found) for seq, found in heads.items()},
            head[0] if head else None,
            head[1] if head else None,
            gone,
            tuple(problems),
        )

    def _line(self, purpose: bytes, seq: int, head: str) -> bytes:
        said = f"{seq} {head}".encode()
        made = self._signer.sign(purpose + said)
        return said + f" {made.public_key} {made.signature}\n".encode()

    def _checked(self, purpose: bytes, text: str) -> tuple[int, str] | None:
        found = LINE.fullmatch(text)
        if found is None:
            return None
        said = f"{found[1]} {found[2]}".encode()
        try:
            check(purpose + said, Signature(found[3], found[4]), self._trusted)
        except SignatureInvalid:
            return None
        return int(found[1]), found[2]


def _last_byte(fd: int, size: int) -> bytes:
    return os.pread(fd, 1, size - 1)


def _text(file: Path) -> str:
    with suppress(FileNotFoundError):
        return file.read_text(errors="replace")
    return ""
