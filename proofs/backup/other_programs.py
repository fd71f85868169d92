"""Owns getting programs that proofs compare with or drive, and that Debian 12 does not have.

pgBackRest 2.55 is Debian 13's: it is unpacked beside us with its own libraries and started by its
own loader. Nothing of it is installed.
"""

import shutil
import subprocess
import threading
from pathlib import Path

from proofs.table import ROOT, CouldNotRun

SUITE = "trixie"
FOLDER = ROOT / ".work" / "programs"
UNPACK_TIMEOUT_S = 300
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"

_lock = threading.Lock()


def pgbackrest(into: Path) -> Path:
    """A pgBackRest of 2.55 or newer, as one command in `into` that any account may run.

    Raises:
        CouldNotRun: it can't be had here; says what is missing.
    """
    with _lock:
        tree = into / "tree"
        if not tree.exists():
            # Not all of it: reading one of its devices would never end.
            shutil.copytree(_unpacked() / "usr", tree / "usr", symlinks=True)
        return _command(into, tree)


def _unpacked() -> Path:
    """The package and what it needs, kept between runs; made under another name and moved."""
    tree = FOLDER / f"pgbackrest-{SUITE}"
    if tree.exists():
        return tree
    if shutil.which("mmdebstrap") is None:
        raise CouldNotRun("pgBackRest 2.55 is unpacked by mmdebstrap: apt-get install mmdebstrap")
    FOLDER.mkdir(parents=True, exist_ok=True)
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        ["mmdebstrap", "--variant=extract", "--include=pgbackrest", SUITE, str(partial)],
        capture_output=True,
        text=True,
        timeout=UNPACK_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise CouldNotRun(f"pgBackRest can't be unpacked: {done.stderr.splitlines()[-1:]}")
    partial.rename(tree)
    return tree


def _command(into: Path, tree: Path) -> Path:
    command = into / "pgbackrest"
    loader = tree / LOADER
    program = tree / "usr/bin/pgbackrest"
    command.write_text(
        f'#!/bin/sh\nexec {loader} --library-path {tree / LIBRARIES} {program} "$@"\n'
    )
    command.chmod(0o755)
    return command
