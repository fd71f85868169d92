"""The manual of checks: its example loads as it stands, and its table names every key."""

import re
from pathlib import Path

from shippyard.config.models import Health
from shippyard.health.check_file import CheckFile
from shippyard.health.loader import load_checks
from shippyard.health.when import Condition

MANUAL = (Path(__file__).parents[3] / "docs" / "checks.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    assert found, f"no example in {language}"
    return found[1]


def test_the_example_is_a_check(tmp_path: Path) -> None:
    for ending in ("toml", "sql"):
        (tmp_path / f"stuck_orders.{ending}").write_text(block(ending))
    checks = {check.name: check for check in load_checks(Health(checks_dir=tmp_path))}
    example = checks["stuck_orders"]
    assert (example.every_s, example.role, example.scope) == (30, "select", "database")
    assert example.metrics[0].labels == ("warehouse",)
    assert example.alert is not None
    assert example.alert.when == Condition("value", ">", 0.0)
    assert not example.is_shipped


def test_every_key_is_in_the_table() -> None:
    told = set(re.findall(r"`\[*([a-z_]+)\]*`", MANUAL))
    assert set(CheckFile.model_fields) <= told
