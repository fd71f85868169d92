"""The worked example of docs/testing.md, run as it stands there, by one worker and by two."""

import re
import sys
from pathlib import Path

import pytest

from shippyard.host.process import Completed, Processes
from shippyard.postgres.target import Target
from shippyard.testing.template import connected

ROOT = Path(__file__).parents[3]
EXAMPLE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
PYTEST_TIMEOUT_S = 120.0


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A folder with the files of the example."""
    files = EXAMPLE.findall((ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
    assert [name for name, _ in files] == ["conftest.py", "test_people.py"]
    for name, text in files:
        (tmp_path / name).write_text(text)
    return tmp_path


def pytest_of(processes: Processes, team: Path, server: Target, *arguments: str) -> Completed:
    # A place of its own: making the common one, pytest shuts it to the account of PostgreSQL, which
    # the tests beside us just opened.
    mine = f"--basetemp={team / 'tmp'}"
    url = f"postgresql://{server.user}@/{server.dbname}?host={server.host}&port={server.port}"
    return processes.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=.", mine, *arguments],
        timeout_s=PYTEST_TIMEOUT_S,
        cwd=team,
        env={"PYTHONPATH": str(ROOT), "SHIPPYAR_TEST_SERVER": url},
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_example_passes_and_leaves_templates_only(
    processes: Processes, team: Path, shippyar_server: Target, workers: tuple[str, ...]
) -> None:
    done = pytest_of(processes, team, shippyar_server, *workers)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    with connected(shippyar_server) as connection:
        left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shippyar%making%'"
        assert connection.execute(left).fetchall() == [(0,)]
        templates = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shippyar_template_%'"
        assert connection.execute(templates).fetchall() == [(1,)]
