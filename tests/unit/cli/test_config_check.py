"""`shippyard config check` finds what would stop the daemon, without credentials or a server."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from shippyard.cli.config import config
from shippyard.cli.exits import ExitCode, Problem

TEXT = """
environment = "development"
[daemon]
state_dir = "state"
[[databases]]
name = "shippyar"
dbname = "shippyar_dev"
monitor = { user = "shippyard_monitor" }
backup = { user = "backup_user", password_credential = "not.here" }
[backup]
dir = "backups"
"""


def check(tmp_path: Path, text: str) -> str:
    file = tmp_path / "shippyard.toml"
    file.write_text(text)
    done = CliRunner().invoke(config, ["check", str(file)], catch_exceptions=False)
    return done.output


def test_a_good_one_is_good_without_its_credentials(tmp_path: Path) -> None:
    assert "good (development, 1 databases)" in check(tmp_path, TEXT)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('dump_schedule = "0 2 * * 0"', "give weekdays by name"),
        ('prune_schedule = "rubbish"', "has 1 fields"),
        ("[alerting.rules.blockd]\nfor_s = 3", "no alert rule 'blockd'"),
        ("[health.checks.blocking_egdes]\nenabled = false", "blocking_egdes"),
    ],
)
def test_what_would_stop_the_daemon_is_usage(tmp_path: Path, more: str, expected: str) -> None:
    with pytest.raises(Problem, match=expected) as caught:
        check(tmp_path, TEXT + more)
    assert caught.value.code == ExitCode.USAGE


def test_missing_migrations_are_noted(tmp_path: Path) -> None:
    said = check(tmp_path, TEXT + '[migration]\nalembic_ini = "none.ini"')
    assert "none.ini is not there yet" in said
    assert "good" in said
