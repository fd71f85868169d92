"""Tools that come with the distribution: where one is missing, say so and skip, or fail."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Tool = Callable[[str, str], str]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Path of a program, given its package; with STRICT=1 a missing one is a failure."""

    def find(program: str, package: str) -> str:
        beside_python = Path(sys.executable).parent / program
        found = str(beside_python) if beside_python.exists() else shutil.which(program)
        if found:
            return found
        missing = f"no {program} here; install {package}"
        if os.environ.get("STRICT") == "1":
            pytest.fail(missing)
        pytest.skip(missing)

    return find
