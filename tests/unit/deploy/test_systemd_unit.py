"""The unit says what the daemon relies on: notify, watchdog, its folders, its limits."""

from pathlib import Path

import pytest

from shippyard.cli.exits import ExitCode
from shippyard.config.models import Daemon

UNIT = Path(__file__).parents[3] / "systemd" / "shippyard.service"


def settings() -> dict[str, list[str]]:
    """Values by key, in order; sections don't share keys here."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_systemd_252_can_start_watch_and_reload_it() -> None:
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["WatchdogSec"] == ["30"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_stopping_is_given_longer_than_the_daemon_takes() -> None:
    unit = settings()
    allowed_s = Daemon.model_fields["stop_timeout_s"].default
    assert int(unit["TimeoutStopSec"][0]) > allowed_s
    assert unit["KillMode"] == ["mixed"]


def test_a_bad_configuration_is_not_tried_again_and_again() -> None:
    assert settings()["RestartPreventExitStatus"] == [str(int(ExitCode.USAGE))]


def test_callers_keep_their_own_uid() -> None:
    assert "PrivateUsers" not in settings()


def test_backups_keep_an_owner() -> None:
    unit = settings()
    assert unit["User"] == ["shippyard"]
    assert "DynamicUser" not in unit
    assert unit["StateDirectory"] == ["shippyard shippyard/backups"]


def test_it_may_speak_to_postgresql_and_to_webhooks_and_nothing_else() -> None:
    assert settings()["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]


def test_no_secret_stands_in_the_unit() -> None:
    unit = settings()
    assert "SetCredential" not in unit
    assert "Environment" not in unit


def test_sandboxes_may_shut_themselves_in() -> None:
    allowed = " ".join(settings()["SystemCallFilter"])
    for call in ("seccomp", "landlock_restrict_self", "setpriority"):
        assert f" {call}" in f" {allowed}"


@pytest.mark.parametrize("name", ["shippyard", "shippyard-wal@", "shippyard-runner@"])
def test_children_may_be_tied_to_us(name: str) -> None:
    """Setpriv(1) calls capset(2), which @privileged takes: without it no child starts at all."""
    lines = (UNIT.parent / f"{name}.service").read_text().splitlines()
    refused = lines.index(next(line for line in lines if "~@privileged" in line))
    assert lines.index("SystemCallFilter=capset") > refused


def test_it_may_take_from_the_spool_where_there_is_one() -> None:
    assert settings()["ReadWritePaths"] == ["-/var/spool/shippyard"]
