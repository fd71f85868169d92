"""What a sandbox's server is told: nothing of production's that could reach out."""

from pathlib import Path

import pytest

from shippyard.sandbox.settings import Given, control_settings, quoted, told

PRODUCTION = {
    "listen_addresses": "*",
    "archive_mode": "on",
    "archive_command": "scp %p elsewhere",
    "primary_conninfo": "host=primary",
    "max_logical_replication_workers": "8",
    "shared_preload_libraries": 'pg_stat_statements, "pg_cron"',
    "shared_buffers": "64GB",
    "ssl": "on",
    "TimeZone": "Europe/Oslo",
    "session_preload_libraries": "spy",
    "work_mem": "1GB",
}


def given(**how: object) -> Given:
    parts: dict[str, object] = {
        "major": 15,
        "socket_dir": Path("/s"),
        "shared_buffers": "128MB",
        "libraries": ("pg_stat_statements",),
        "production": PRODUCTION,
        "control": {"max_connections": "500"},
        "recovery": {},
    }
    return Given(**{**parts, **how})  # type: ignore[arg-type]  # what a test puts in


def lines(text: str) -> dict[str, str]:
    pairs = (line.partition(" = ") for line in text.splitlines())
    return {name: value.strip("'") for name, _, value in pairs}


def test_nothing_of_production_reaches_out() -> None:
    said = lines(told(given()).text)
    assert said["listen_addresses"] == ""
    assert said["archive_mode"] == "off"
    assert said["max_logical_replication_workers"] == "0"
    assert said["ssl"] == "off"
    assert said["session_preload_libraries"] == ""
    assert not {"archive_command", "primary_conninfo"} & said.keys()


def test_what_is_harmless_or_needed_is_taken() -> None:
    said = lines(told(given()).text)
    assert said["TimeZone"] == "Europe/Oslo"
    assert said["max_connections"] == "500"
    assert said["shared_preload_libraries"] == "pg_stat_statements"
    assert said["shared_buffers"] == "128MB"
    assert "work_mem" not in said


def test_what_differs_is_said() -> None:
    differs = "\n".join(told(given()).differs)
    assert "pg_cron is not loaded" in differs
    assert "shared_buffers is 128MB, not 64GB" in differs
    assert "archive_command" in differs
    assert "work_mem" in differs


def test_majors_are_told_what_they_know() -> None:
    assert "event_triggers" not in told(given()).text
    assert lines(told(given(major=17)).text)["event_triggers"] == "off"
    assert lines(told(given(major=18)).text)["io_method"] == "worker"


@pytest.mark.parametrize("name", ["primary_conninfo", "recovery_end_command", "archive_command"])
def test_recovery_that_could_reach_out_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        told(given(recovery={name: "anything"}))
    assert name in told(given(recovery={name: ""})).text


def test_recovery_settings_have_the_last_word_in_their_order() -> None:
    text = told(given(recovery={"recovery_target_time": "", "recovery_target_lsn": "0/3"})).text
    assert text.index("recovery_target_time") < text.index("recovery_target_lsn")


def test_control_data_is_read() -> None:
    said = (
        "Database cluster state: in production\nmax_connections setting:   60\nmax_x setting: 1\n"
    )
    assert control_settings(said) == {"max_connections": "60"}


def test_values_are_quoted() -> None:
    assert quoted("it's a\\b") == "'it''s a\\\\b'"
