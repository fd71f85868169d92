"""Programs have a deadline, die with their group, and die with us."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shippyard.host.process import Processes, ProcessesStopped, ProcessTimedOut
from tests.conftest import Eventually

FAMILY = "sleep 100 & echo $! > {pids}; echo $$ >> {pids}; wait"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def family(tmp_path: Path) -> tuple[list[str], Path]:
    pids = tmp_path / "pids"
    return ["bash", "-c", FAMILY.format(pids=pids)], pids


def pids_in(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def test_the_deadline_ends_the_whole_group(tmp_path: Path, eventually: Eventually) -> None:
    argv, pids = family(tmp_path)
    with pytest.raises(ProcessTimedOut):
        Processes().run(argv, timeout_s=0.5)
    assert len(pids_in(pids)) == 2
    # The group's last one is ended like the first, but not waited for: it is not our child.
    eventually(lambda: not any(alive(pid) for pid in pids_in(pids)))


def test_end_all_ends_what_runs_and_refuses_more(tmp_path: Path, eventually: Eventually) -> None:
    argv, pids = family(tmp_path)
    processes = Processes()
    outcome: list[int] = []
    thread = threading.Thread(
        target=lambda: outcome.append(processes.run(argv, timeout_s=60).returncode)
    )
    thread.start()
    eventually(lambda: len(pids_in(pids)) == 2)
    processes.end_all()
    thread.join(5)
    assert outcome == [-signal.SIGTERM]
    eventually(lambda: not any(alive(pid) for pid in pids_in(pids)))
    with pytest.raises(ProcessesStopped):
        processes.run(["true"], timeout_s=1)


def test_a_program_dies_when_its_owner_is_killed(tmp_path: Path, eventually: Eventually) -> None:
    pid_file = tmp_path / "pid"
    inner = ["bash", "-c", f"echo $$ > {pid_file}; exec sleep 100"]
    code = f"from shippyard.host.process import Processes as P; P().run({inner!r}, timeout_s=100)"
    owner = subprocess.Popen([sys.executable, "-c", code])
    eventually(lambda: pids_in(pid_file))
    owner.kill()
    owner.wait()
    eventually(lambda: not alive(pids_in(pid_file)[0]))


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "leaks")
    done = Processes().run(["env"], timeout_s=5, env={"GIVEN": "1"})
    assert "PGPASSWORD" not in done.stdout
    assert "GIVEN=1" in done.stdout


def test_the_reason_is_the_last_line_of_stderr() -> None:
    done = Processes().run(["bash", "-c", "echo a >&2; echo 'b: no' >&2; exit 3"], timeout_s=5)
    assert (done.returncode, done.reason()) == (3, "b: no")


def test_of_a_leader_that_was_killed_nobody_lives_on(
    processes: Processes, tmp_path: Path, eventually: Eventually
) -> None:
    said = tmp_path / "pid"
    with processes.start(["sh", "-c", f"sleep 60 & echo $! > {said}; wait"]) as child:
        follower = int(eventually(lambda: said.exists() and said.read_text().strip()))
        os.kill(child.pid, signal.SIGKILL)
        child.wait(5)
        assert alive(follower)
    eventually(lambda: not alive(follower))
