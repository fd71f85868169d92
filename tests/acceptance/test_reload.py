"""What runs when the configuration is read again goes on, and how it ends is told."""

import signal
import stat
import threading
from pathlib import Path

from proofs.rig import DATABASE, Rig
from shippyard.host.process import Processes
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually

WRAPPER = """#!/bin/sh
case "$*" in *--version*) exec {real} --version ;; esac
echo started > {mark}
while [ ! -e {mark}.go ]; do sleep 0.05; done
echo 'pg_dump: error: the disk is on fire' >&2
exit 1
"""


def failing_dump(folder: Path) -> tuple[Path, Path]:
    """A pg_dump that waits to be told, then fails; gives its folder and its mark."""
    bin_dir, mark = folder / "bin", folder / "mark"
    bin_dir.mkdir()
    processes = Processes()
    real = server_tools(processes).bin_dir
    for program in real.iterdir():
        (bin_dir / program.name).symlink_to(program)
    wrapper = bin_dir / "pg_dump"
    wrapper.unlink()
    wrapper.write_text(WRAPPER.format(real=real / "pg_dump", mark=mark))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return bin_dir, mark


def test_a_backup_that_fails_after_a_reload_still_pages(own: Rig, eventually: Eventually) -> None:
    bin_dir, mark = failing_dump(own.folder)
    own.document["tools_dirs"] = [str(bin_dir)]
    daemon = own.start()
    answers: list[tuple[int, str]] = []

    def ask() -> None:
        ran = own.ctl("backup", "run", DATABASE, "--kind", "dump")
        answers.append((ran.returncode, ran.stderr))

    asker = threading.Thread(target=ask)
    asker.start()
    eventually(mark.exists, 90)
    daemon.send(signal.SIGHUP)
    eventually(lambda: "config.reloaded" in daemon.said(), 60)
    Path(f"{mark}.go").touch()
    page = eventually(lambda: own.pager.of("backup_failed", "trigger", 0), 20)[0]
    assert "the disk is on fire" in page.incident["summary"]
    asker.join(20)
    code, said = answers[0]
    assert code == 1
    assert "the disk is on fire" in said
    assert own.ctl("alerts", "--json").document["incidents"][0]["rule"] == "backup_failed"


def test_a_reload_waits_for_no_migration_and_harms_none(own: Rig, eventually: Eventually) -> None:
    bin_dir, mark = failing_dump(own.folder)
    own.document["tools_dirs"] = [str(bin_dir)]
    daemon = own.start()
    answers: list[tuple[int, str]] = []

    def migrate() -> None:
        ran = own.ctl("migrate", "--yes", "--json")
        answers.append((ran.returncode, ran.stderr))

    runner = threading.Thread(target=migrate)
    runner.start()
    eventually(mark.exists, 90)
    daemon.send(signal.SIGHUP)
    eventually(lambda: f"a migration of {DATABASE} runs" in daemon.said(), 60)
    Path(f"{mark}.go").touch()
    runner.join(90)
    code, said = answers[0]
    assert code == 1
    assert "the disk is on fire" in said
    daemon.send(signal.SIGHUP)
    eventually(lambda: "config.reloaded" in daemon.said(), 60)
    with own.connect() as connection:
        assert connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
