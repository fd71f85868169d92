"""What docs/alerting.md shows can be done: its routes are taken, its signature is checked."""

import hashlib
import hmac
import re
import shutil
import subprocess
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shippyard.alerting.routes.webhook import signature_of
from shippyard.config.alerting import Alerting

ROOT = Path(__file__).parents[3]
MANUAL = (ROOT / "docs" / "alerting.md").read_text()
EXAMPLE = ROOT / "config" / "alertmanager" / "alertmanager.yml"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    assert found
    return found[1]


def test_the_routes_it_shows_are_taken() -> None:
    config = Alerting.model_validate(tomllib.loads(block("toml"))["alerting"])
    assert [route.kind for route in config.routes] == ["pagerduty", "alertmanager", "slack"]


def test_a_receiver_that_checks_as_it_says_believes_us_and_nobody_else() -> None:
    body, key = b'{"version": 1}', b"key"
    headers = signature_of(key, body, datetime.now(UTC))
    known: dict[str, Any] = {
        "hmac": hmac,
        "hashlib": hashlib,
        "time": time,
        "key": key,
        "body": body,
        "timestamp": headers["Shippyard-Timestamp"],
        "signature": headers["Shippyard-Signature"],
    }
    exec(block("python"), known)
    assert known["is_ours"] is True
    known["body"] = b'{"version": 2}'
    exec(block("python"), known)
    assert known["is_ours"] is False


@pytest.mark.skipif(not shutil.which("amtool"), reason="apt-get install prometheus-alertmanager")
def test_the_example_is_one_that_an_alertmanager_takes() -> None:
    argv = ["amtool", "check-config", str(EXAMPLE)]
    ran = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(not shutil.which("amtool"), reason="apt-get install prometheus-alertmanager")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"source": "shippyard", "severity": "page"}, "on-call"),
        ({"severity": "page"}, "on-call"),
        ({"source": "shippyard", "severity": "ticket"}, "tickets"),
        ({"alertname": "ShippyardWatchdog", "severity": "none"}, "dead-mans-switch"),
    ],
)
def test_the_example_wakes_whom_it_should(labels: dict[str, str], receiver: str) -> None:
    words = [f"{name}={value}" for name, value in labels.items()]
    argv = ["amtool", "config", "routes", "test", f"--config.file={EXAMPLE}", *words]
    ran = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=30)
    assert ran.stdout.strip() == receiver
