"""A host of sandboxes in a folder that PostgreSQL's account may enter."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shippyard.config.models import Sandbox as SandboxSettings
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.postgres.tools import Tools, server_tools
from shippyard.sandbox.local import LocalHost

MakeHost = Callable[..., LocalHost]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="shippyard-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_host(processes: Processes, open_folder: Path) -> MakeHost:
    def make(processes: Processes = processes, **settings: Any) -> LocalHost:
        chosen = SandboxSettings.model_validate({"start_timeout_s": 30, **settings})
        return LocalHost(chosen, processes, SystemClock(), open_folder / "sandboxes")

    return make


@pytest.fixture
def host(make_host: MakeHost) -> LocalHost:
    return make_host()


@pytest.fixture(scope="session")
def tools(processes: Processes) -> Tools:
    return server_tools(processes)
