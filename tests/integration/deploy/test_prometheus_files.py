"""promtool accepts the rules, the example configuration, the rules' tests and the dashboards."""

import json
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from shippyard.host.process import Completed, Processes

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "config" / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


class Promtool(Protocol):
    def __call__(self, *arguments: str | Path) -> Completed: ...


@pytest.fixture
def promtool(tool: Any, processes: Processes) -> Promtool:
    program = tool("promtool", "Debian's prometheus package")

    def run(*arguments: str | Path) -> Completed:
        return processes.run([program, *map(str, arguments)], timeout_s=120)

    return run


def said(done: Completed) -> str:
    return done.stdout + done.stderr


def test_rules_are_accepted(promtool: Promtool) -> None:
    done = promtool("check", "rules", PROMETHEUS / "shippyard.rules.yml")
    assert done.returncode == 0, said(done)


def test_example_configuration_is_accepted_with_its_rules(promtool: Promtool) -> None:
    done = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert done.returncode == 0, said(done)
    assert "1 rule files found" in said(done)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_rules_fire_keep_quiet_and_bear_missing_series(promtool: Promtool, file: Path) -> None:
    done = promtool("test", "rules", file)
    assert done.returncode == 0, said(done)


def test_every_panel_asks_something_that_can_be_parsed(promtool: Promtool, tmp_path: Path) -> None:
    """As recording rules, with Grafana's own variables filled in."""
    written = [
        {"record": f"panel:{number}", "expr": filled_in(target["expr"])}
        for file in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
        for number, target in enumerate(targets_of(json.loads(file.read_text())))
    ]
    assert written
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, said(done)


def targets_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    found = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return found + [{"expr": note["expr"]} for note in dashboard["annotations"]["list"]]


def filled_in(expression: str) -> str:
    filled = expression.replace("$__rate_interval", "1m")
    for name in ("job", "instance", "database"):
        filled = filled.replace(f"${name}", ".*")
    return filled
