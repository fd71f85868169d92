"""The real daemon on a real PostgreSQL, reached only as operators and Prometheus reach it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proofs.rig import Rig
from proofs.rig import rig as stage
from proofs.table import ROOT, Context


@pytest.fixture(scope="module")
def running() -> Iterator[Rig]:
    """One daemon for the tests of a file; they build on each other's state in order."""
    with _stage() as rig:
        rig.start()
        yield rig


@pytest.fixture
def own() -> Iterator[Rig]:
    """A stage of the test's own, with the daemon not started yet."""
    with _stage() as rig:
        yield rig


@contextmanager
def _stage() -> Iterator[Rig]:
    # Not pytest's folder: the unprivileged account PostgreSQL runs as must pass through it, and
    # a socket's path may not be long.
    folder = Path(tempfile.mkdtemp(prefix="shippyard-acceptance-"))
    folder.chmod(0o755)
    try:
        with stage(Context(quick=True, root=ROOT, folder=folder)) as rig:
            yield rig
    finally:
        shutil.rmtree(folder, ignore_errors=True)
