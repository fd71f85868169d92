"""The four configurations load as they ship, and differ where their environments do."""

import re
from pathlib import Path

import pytest

from shippyard.config.loading import load_config
from shippyard.config.models import Config
from shippyard.setup.bootstrap.wanted import wanted_clusters

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ("development", "testing", "staging", "production")


def shipped(environment: str) -> Config:
    return load_config(ROOT / "config" / f"{environment}.toml", environ={})


def credentials_of(config: Config) -> set[str]:
    """Every credential that a configuration asks for."""
    logins = [
        login
        for database in config.databases
        for login in (database.monitor, database.backup, database.migrator)
        if login
    ]
    named = [login.password_credential for login in logins]
    named += [route.url_credential for route in config.alerting.routes]
    named.append(config.sentry.dsn_credential)
    return {name for name in named if name} | credentials_of_backups(config)


def credentials_of_backups(config: Config) -> set[str]:
    kept = config.backup.clusters.values()
    logins = [login for each in kept for login in (each.replication, each.canary) if login]
    named = [login.password_credential for login in logins]
    named.append(config.backup.signing_key_credential)
    if offsite := config.backup.offsite:
        named += [offsite.access_key_credential, offsite.secret_key_credential]
    return {name for name in named if name}


def uncommented(environment: str) -> str:
    """The file with its examples of settings turned on."""
    text = (ROOT / "config" / f"{environment}.toml").read_text()
    return re.sub(r"^# (?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_loads_and_is_what_its_name_says(environment: str) -> None:
    assert shipped(environment).environment == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_begins_with_a_comment_that_says_what_it_is_for(environment: str) -> None:
    text = (ROOT / "config" / f"{environment}.toml").read_text()
    assert text.startswith("# Shippyard ")
    assert "docs/configuration.md" in text


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_bootstrap_can_follow_it_and_the_owner_never_logs_in(environment: str) -> None:
    config = shipped(environment)
    (cluster,) = wanted_clusters(config)
    (owner,) = [role for role in cluster.roles if role.name == config.access.owner]
    assert "LOGIN" not in owner.attributes
    assert [each.migrator for each in cluster.databases] == ["shippyar_migrator"]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_where_people_work_every_login_has_a_password(environment: str) -> None:
    (cluster,) = wanted_clusters(shipped(environment))
    logins = [role for role in cluster.roles if "LOGIN" in role.attributes]
    assert all(role.login and role.login.password_credential for role in logins)


def test_production_alone_does_not_let_the_migrator_make_databases() -> None:
    may = {environment for environment in ENVIRONMENTS if shipped(environment).access.restores}
    assert may == set(ENVIRONMENTS) - {"production"}


def test_development_logs_everything_and_lets_its_one_person_in() -> None:
    config = shipped("development")
    assert config.log.level == "debug"
    assert config.control.allow_root
    assert config.migration is not None
    assert not config.migration.backup_before
    assert config.backup.dump_schedule == ""


def test_testing_is_quiet_and_runs_side_by_side() -> None:
    config = shipped("testing")
    assert config.log.level == "warning"
    assert config.http.port == 0
    assert config.alerting.routes == ()


def test_staging_asks_of_a_migration_what_production_asks() -> None:
    staging, production = shipped("staging").migration, shipped("production").migration
    assert staging is not None
    assert production is not None
    assert staging.model_copy(update={"approvals": 1, "watch_s": 60.0}) == production
    assert staging.approvals == 0


def test_production_wakes_people_keeps_a_year_and_lets_no_root_in() -> None:
    config = shipped("production")
    assert any("page" in route.severities for route in config.alerting.routes)
    assert config.backup.keep.days == 30
    assert config.backup.keep.monthly == 12
    assert config.backup.dump_schedule
    assert config.backup.schema_schedule
    assert not config.control.allow_root
    assert set(config.control.operators).isdisjoint(config.control.approvers)


def test_productions_examples_are_settings_that_can_be_turned_on(tmp_path: Path) -> None:
    file = tmp_path / "shippyard.toml"
    file.write_text(uncommented("production"))
    config = load_config(file, environ={})
    assert config.backup.clusters["main"].wal == "stream"
    assert config.backup.offsite is not None
    assert config.backup.keep_by_kind.base is not None
    assert config.backup.drill.schedule
    unit = (ROOT / "systemd" / "shippyard.service").read_text()
    wanted = credentials_of(config)
    assert len(wanted) == 10
    assert all(f"LoadCredential={name}\n" in unit for name in wanted)


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_what_a_developer_runs_writes_beside_the_tree_only(environment: str) -> None:
    config = shipped(environment)
    written = [config.daemon.state_dir, config.backup.dir, config.control.socket]
    assert all(path.resolve().is_relative_to(ROOT / ".work" / environment) for path in written)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_unit_hands_over_every_credential_that_is_asked_for(environment: str) -> None:
    unit = (ROOT / "systemd" / "shippyard.service").read_text()
    handed = {
        line.removeprefix("LoadCredential=")
        for line in unit.splitlines()
        if line.startswith("LoadCredential=")
    }
    assert credentials_of(shipped(environment)) <= handed


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_what_the_unit_lets_it_write_is_where_it_writes(environment: str) -> None:
    config = shipped(environment)
    assert config.daemon.state_dir == Path("/var/lib/shippyard")
    assert config.backup.dir == Path("/var/lib/shippyard/backups")
    assert config.control.socket.parent == Path("/run/shippyard")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_groups_it_names_are_made_by_sysusers(environment: str) -> None:
    control = shipped(environment).control
    made = {
        line.split()[1]
        for line in (ROOT / "systemd/sysusers.d/shippyard.conf").read_text().splitlines()
        if line.startswith("g ")
    }
    named = {*control.viewers, *control.operators, *control.approvers, f"@{control.group}"}
    assert {name.removeprefix("@") for name in named} <= made
