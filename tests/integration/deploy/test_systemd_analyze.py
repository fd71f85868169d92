"""systemd accepts the unit without a word, and finds it well locked in."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from shippyard.host.process import Completed, Processes

ROOT = Path(__file__).parents[3]
UNITS = Path("/lib/systemd/system")
EXPOSURE_MAX = 2.0


@pytest.fixture
def analyze(tool: Any) -> str:
    program: str = tool("systemd-analyze", "systemd")
    return program


@pytest.fixture
def installed(tmp_path: Path, analyze: str) -> Path:
    """A root folder with the unit where it belongs, the programs it starts, and systemd's units."""
    for program in ("opt/shippyard/bin/shippyard", "opt/shippyard/bin/python", "bin/kill"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    shutil.copytree(UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    own = tmp_path / "etc/systemd/system"
    own.mkdir(parents=True)
    for unit in (ROOT / "systemd").glob("shippyard*"):
        shutil.copy(unit, own)
    return tmp_path


def verify(
    processes: Processes, analyze: str, root: Path, unit: str = "shippyard.service"
) -> Completed:
    return processes.run([analyze, "verify", f"--root={root}", unit], timeout_s=30)


@pytest.mark.parametrize(
    "unit",
    [
        "shippyard.service",
        "shippyard-wal@main.service",
        "shippyard-runner.socket",
        "shippyard-runner@1.service",
    ],
)
def test_verify_has_nothing_to_say(
    installed: Path, analyze: str, processes: Processes, unit: str
) -> None:
    done = verify(processes, analyze, installed, unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verify_would_see_a_misspelt_key(
    installed: Path, analyze: str, processes: Processes
) -> None:
    unit = installed / "etc/systemd/system/shippyard.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSecs="))
    assert "WatchDogSecs" in verify(processes, analyze, installed).stderr


@pytest.mark.parametrize(
    "name", ["shippyard.service", "shippyard-wal@.service", "shippyard-runner@.service"]
)
def test_exposure_is_low(analyze: str, processes: Processes, name: str) -> None:
    unit = ROOT / "systemd" / name
    arguments = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    done = processes.run(arguments, timeout_s=30)
    level = re.search(r"Overall exposure level for shippyard\S*: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level.group(1)) <= EXPOSURE_MAX


def test_the_user_and_its_groups_are_understood(
    tool: Any, processes: Processes, tmp_path: Path
) -> None:
    sysusers = tool("systemd-sysusers", "systemd")
    folder = tmp_path / "usr/lib/sysusers.d"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "systemd" / "sysusers.d" / "shippyard.conf", folder)
    arguments = [sysusers, f"--root={tmp_path}", "--dry-run", "shippyard.conf"]
    done = processes.run(arguments, timeout_s=30)
    assert done.returncode == 0, done.stderr
    assert "Creating user 'shippyard'" in done.stdout + done.stderr
