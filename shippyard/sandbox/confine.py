"""Owns making what was restored harmless before it is started: what would reach out is taken away.

Whatever restored the files is not trusted to have done so. Says nothing of how a server is run.
"""

import contextlib
import os
import pwd
import shutil
from pathlib import Path

from shippyard.sandbox.links import ways_out
from shippyard.sandbox.model import SandboxUnsafe
from shippyard.sandbox.settings import HBA

CONF, AUTO_CONF, HBA_CONF, IDENT = (
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
)
RECOVER = "recovery.signal"
LEFT_BY_OTHERS = ("postmaster.pid", "postmaster.opts", "standby.signal", RECOVER)
SLOTS = "pg_replslot"


def confine(folder: Path, data_dir: Path, conf: str, *, recovers: bool) -> None:
    """Leave nothing of production's in `data_dir` that could reach out of `folder`.

    Raises:
        SandboxUnsafe: a link leaves it; nothing was changed.
        OSError: a file could not be changed.
    """
    if ways := ways_out(folder, data_dir):
        raise SandboxUnsafe(
            f"what was restored leaves the sandbox, so it was not started: {'; '.join(ways)}"
        )
    for name in LEFT_BY_OTHERS:
        (data_dir / name).unlink(missing_ok=True)
    shutil.rmtree(data_dir / SLOTS, ignore_errors=True)
    (data_dir / SLOTS).mkdir(mode=0o700)
    texts = {CONF: conf, AUTO_CONF: "", HBA_CONF: HBA, IDENT: ""}
    for name, text in (texts | ({RECOVER: ""} if recovers else {})).items():
        _replace(data_dir / name, text)
    data_dir.chmod(0o700)


def give(folder: Path, account: str) -> None:
    """Make everything below `folder` the account's; links are not followed.

    What goes meanwhile was a file on its way, whose giver sees to it.
    """
    owner = pwd.getpwnam(account).pw_uid
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(f"{parent}/{name}").st_uid != owner:
                    os.lchown(f"{parent}/{name}", owner, -1)


def _replace(file: Path, text: str) -> None:
    """A new file under the name, whatever it named before."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(text)
