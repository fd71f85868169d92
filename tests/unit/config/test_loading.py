"""Bad configuration is one line that says what to do; good configuration is frozen and absolute."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from shippyard.config.loading import ConfigError, load_config

GOOD = """
environment = "development"
[daemon]
state_dir = "state"
[[databases]]
name = "shippyar"
dbname = "shippyar_dev"
monitor = { user = "shippyard_monitor" }
backup = { user = "backup_user" }
[backup]
dir = "backups"
"""


def problem_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    file = tmp_path / "shippyard.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ or {})
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "shippyard.toml"
    file.write_text(GOOD)
    config = load_config(file, {})
    assert config.daemon.state_dir == tmp_path / "state"
    assert config.backup.dir == tmp_path / "backups"
    assert config.control.socket == Path("/run/shippyard/control.sock")


def test_config_is_frozen(tmp_path: Path) -> None:
    file = tmp_path / "shippyard.toml"
    file.write_text(GOOD)
    config = load_config(file, {})
    with pytest.raises(ValidationError):
        config.environment = "production"  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (GOOD.replace("state_dir", "state_dri"), "'daemon.state_dri'; did you mean 'state_dir'?"),
        (GOOD.replace("[backup]", "[bakcup]\n[backup]"), "'bakcup'; did you mean 'backup'?"),
        (GOOD.replace('user = "shipp', 'usr = "shipp'), "did you mean 'user'?"),
        (GOOD + "timeout_s = 'long'", "'backup.timeout_s': Input should be a valid number"),
        (GOOD + "timeout_s = -1", "'backup.timeout_s': Input should be greater than 0"),
        (GOOD.replace('dir = "backups"', ""), "'backup.dir' is missing; add it"),
        (GOOD + "timezone = 'Mars/Olympus'", "unknown time zone 'Mars/Olympus'"),
        (GOOD + "= 3", "not TOML"),
        (GOOD.replace('"development"', '"prod"'), "'environment'"),
        (
            GOOD.replace('"development"', '"production"') + "[control]\nallow_root = true",
            "control.allow_root is not for production",
        ),
        (GOOD + "[backup.clusters.other]", "no database is in a cluster 'other'; there is main"),
        (GOOD + '[backup.clusters.main]\nwal = "stream"', "needs replication = { user = ... }"),
        (GOOD + "[backup.clusters.main]\nsynchronous = true", "synchronous needs second_receiver"),
        (GOOD + '[backup.clusters.main]\nengine = "barman"', "'barman' needs stanza"),
        (GOOD + "[backup.dump]\nrole_passwords = true", "role_passwords needs recipients"),
    ],
)
def test_every_mistake_is_one_line_that_names_it(
    tmp_path: Path, broken: str, expected: str
) -> None:
    assert expected in problem_of(tmp_path, broken)


def test_two_databases_of_one_name_are_refused(tmp_path: Path) -> None:
    block = GOOD[GOOD.index("[[databases]]") : GOOD.index("[backup]")]
    assert "two databases are called 'shippyar'" in problem_of(tmp_path, GOOD + block)


@pytest.mark.parametrize("server", ["port = 5433", 'host = "replica.internal"'])
def test_one_cluster_on_two_servers_is_refused(tmp_path: Path, server: str) -> None:
    block = GOOD[GOOD.index("[[databases]]") : GOOD.index("[backup]")]
    other = block.replace('"shippyar"', '"orders"')
    message = problem_of(tmp_path, GOOD + other + server)
    assert "'shippyar' and 'orders'" in message
    assert "give one of them a cluster of its own" in message

    file = tmp_path / "shippyard.toml"
    for fine in (other, f'{other}{server}\ncluster = "second"'):
        file.write_text(GOOD + fine)
        assert len(load_config(file, {}).databases) == 2


def test_two_clusters_that_push_into_one_spool_are_refused(tmp_path: Path) -> None:
    block = GOOD[GOOD.index("[[databases]]") : GOOD.index("[backup]")]
    other = block.replace('"shippyar"', '"orders"') + 'cluster = "second"\n'
    clusters = "".join(f'[backup.clusters.{c}]\nwal = "archive"\n' for c in ("main", "second"))
    message = problem_of(tmp_path, GOOD + other + clusters)
    assert "backup.clusters.main and .second both push WAL into" in message

    file = tmp_path / "shippyard.toml"
    file.write_text(GOOD + other + clusters + 'spool = "other"')
    assert len(load_config(file, {}).backup.clusters) == 2


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one with --config FILE"):
        load_config(tmp_path / "none.toml", {})


def test_a_file_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    file = tmp_path / "shippyard.toml"
    file.write_bytes(b"# caf\xe9\n" + GOOD.encode())
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_config(file, {})


def test_an_unknown_variable_is_refused_with_the_nearest_known(tmp_path: Path) -> None:
    message = problem_of(tmp_path, GOOD, {"SHIPPYARD_CONFGI": "x"})
    assert "SHIPPYARD_CONFGI; did you mean 'SHIPPYARD_CONFIG'?" in message


def test_a_value_that_may_be_a_secret_is_not_repeated(tmp_path: Path) -> None:
    broken = GOOD.replace(
        'user = "backup_user"', 'user = "backup_user", password_credential = ["hunter2hunter2"]'
    )
    assert "hunter2" not in problem_of(tmp_path, broken)
