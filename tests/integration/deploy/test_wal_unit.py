"""systemd accepts the receiver's unit without a word, and finds it well locked in."""

import re
import shutil
from pathlib import Path
from typing import Any

from shippyard.host.process import Processes

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "systemd" / "shippyard-wal@.service"
EXPOSURE_MAX = 2.0


def test_verify_has_nothing_to_say(tool: Any, processes: Processes, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    program = tmp_path / "opt/shippyard/bin/shippyard"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shutil.copytree("/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    own = tmp_path / "etc/systemd/system"
    own.mkdir(parents=True)
    shutil.copy(UNIT, own)
    arguments = [analyze, "verify", f"--root={tmp_path}", "shippyard-wal@main.service"]
    done = processes.run(arguments, timeout_s=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_exposure_is_low(tool: Any, processes: Processes, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    unit = tmp_path / "shippyard-wal@main.service"
    shutil.copy(UNIT, unit)
    arguments = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    done = processes.run(arguments, timeout_s=30)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level.group(1)) <= EXPOSURE_MAX


def test_it_shares_the_daemons_user_and_folders() -> None:
    daemon = (ROOT / "systemd" / "shippyard.service").read_text()
    unit = UNIT.read_text()
    for line in ("User=shippyard", "StateDirectory=shippyard shippyard/backups", "UMask=0077"):
        assert line in unit.splitlines()
        assert line in daemon.splitlines()
