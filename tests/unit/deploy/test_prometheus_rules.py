"""Every alert rule says how bad, what and what to do, and is tested three ways."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.outcomes import ROOM_RULES

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "config" / "prometheus"
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.load((PROMETHEUS / "shippyard.rules.yml").read_text(), yaml.CSafeLoader)[
        "groups"
    ]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]


def sections() -> dict[str, str]:
    """Text of each runbook by the anchor that its heading gets."""
    parts = re.split(r"^### (.+)$", RUNBOOKS, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {re.sub(r"[^\w-]", "", heading.lower()): text for heading, text in pairs}


@cache
def promtool_tests() -> dict[str, dict[str, Any]]:
    files = sorted((PROMETHEUS / "tests").glob("*.yml"))
    loaded = [yaml.load(file.read_text(), yaml.CSafeLoader) for file in files]
    return {test["name"]: test for file in loaded for test in file["tests"]}


def states_expected(test: dict[str, Any]) -> list[str]:
    """What the test wants to see of the alert, over all of its moments."""
    samples = [s for moment in test["promql_expr_test"] for s in moment["exp_samples"]]
    return [re.findall(r'alertstate="(\w+)"', sample["labels"])[0] for sample in samples]


def rules_of_the_daemon() -> list[str]:
    """Alert rules that the checks bring, and those of backups."""
    files = sorted((ROOT / "shippyard" / "health" / "checks").glob("*.toml"))
    checks = {file.stem: tomllib.loads(file.read_text()) for file in files}
    of_checks = [c["alert"].get("rule", name) for name, c in checks.items() if "alert" in c]
    return [*of_checks, *sorted(ROOM_RULES)]


def test_names_are_used_once() -> None:
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_says_how_bad_and_what(rule: dict[str, Any]) -> None:
    is_watchdog = rule["alert"] == "ShippyardWatchdog"
    assert rule["labels"]["severity"] in ({"none"} if is_watchdog else {"page", "ticket"})
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_leads_to_a_runbook_of_its_own(rule: dict[str, Any]) -> None:
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert file == "docs/runbooks.md"
    assert anchor == rule["alert"].lower()
    assert anchor in sections()


@pytest.mark.parametrize("name", NAMES)
def test_is_made_to_fire_to_keep_quiet_and_to_miss_its_metric(name: str) -> None:
    tests = {title: test for title, test in promtool_tests().items() if title.split()[0] == name}
    fires = [test for title, test in tests.items() if " fires" in title]
    quiet = [test for title, test in tests.items() if " is quiet" in title]
    assert fires
    assert all("firing" in states_expected(test) for test in fires)
    assert quiet
    assert all("firing" not in states_expected(test) for test in quiet)
    assert f"{name} without its metric" in tests


SECOND_LOOK = {"archiver_failing", "checksum_failure", "idle_in_transaction", "invalid_index"}
"""What these ask is a yes or no; their limit is 0, or how long ago it may be."""
SECOND_LOOK |= {"long_running"}


def test_limits_are_those_that_the_daemon_goes_by() -> None:
    """A rule compares with what the daemon tells of its own, never with a number typed again."""
    compared = set(re.findall(r'alert_threshold\{rule="(\w+)"\}', "".join(map(str, RULES))))
    alerts = {check.alert.rule for check in load_checks(Health()) if check.alert}
    assert compared == alerts - SECOND_LOOK


WATCHED = [check for check in load_checks(Health()) if check.alert]
SEEN_BY = {"sequences_ending": "sequences"}
"""A check that has no metric of its own, and the one whose metric its rule asks."""


def alerts_named(check: Check) -> list[dict[str, Any]]:
    """Prometheus's rules that ask what the check tells."""
    source = SEEN_BY.get(check.name, check.name)
    metrics = [
        m.name for each in load_checks(Health()) if each.name == source for m in each.metrics
    ]
    return [rule for rule in RULES if any(name in rule["expr"] for name in metrics)]


@pytest.mark.parametrize("check", WATCHED, ids=lambda check: check.name)
def test_what_the_daemon_alerts_of_prometheus_does_too(check: Check) -> None:
    assert alerts_named(check)


@pytest.mark.parametrize("check", WATCHED, ids=lambda check: check.name)
def test_a_limit_of_the_daemon_is_not_typed_again(check: Check) -> None:
    """0 is no limit but "any"."""
    assert check.alert is not None
    bare = [re.sub(r"\[[^\]]*\]|\"[^\"]*\"", "", r["expr"]) for r in alerts_named(check)]
    typed = {float(number) for each in bare for number in re.findall(r"(?<![\w.])[\d.]+", each)}
    assert not check.alert.when.limit or check.alert.when.limit not in typed


def test_no_test_is_of_a_rule_that_is_gone() -> None:
    assert {title.split()[0] for title in promtool_tests()} == set(NAMES)


@pytest.mark.parametrize("rule", rules_of_the_daemon())
def test_every_rule_of_the_daemon_has_a_runbook(rule: str) -> None:
    assert rule in sections()


@pytest.mark.parametrize("anchor", sections())
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_type(anchor: str) -> None:
    text = sections()[anchor]
    assert "**Means.**" in text
    assert "**Look.**" in text
    assert "**Type.**" in text
