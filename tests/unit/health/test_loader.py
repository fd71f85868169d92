"""Reading checks: ours are all fit, and a wrong file is named with what is wrong in it."""

import re
from pathlib import Path

import pytest

from shippyard.config.models import CheckOverride, Health
from shippyard.health.loader import SHIPPED_DIR, CheckInvalid, load_checks
from shippyard.health.model import Check
from shippyard.health.when import Condition

TOML = """
summary = "Orders nobody ships"
every_s = 60
timeout_s = 2
[params]
old_s = 3600
[metric]
name = "shop_stuck_orders"
labels = ["database"]
[alert]
when = "value > 0"
severity = "ticket"
"""
SQL = "SELECT count(*) AS value FROM orders WHERE age > make_interval(secs => %(old_s)s)"


def write(folder: Path, toml: str = TOML, sql: str = SQL, name: str = "stuck_orders") -> Path:
    (folder / f"{name}.toml").write_text(toml)
    (folder / f"{name}.sql").write_text(sql)
    return folder


def loaded(settings: Health) -> dict[str, Check]:
    return {check.name: check for check in load_checks(settings)}


def test_every_shipped_pair_loads_under_the_naming_rules() -> None:
    checks = loaded(Health())
    assert set(checks) == {path.stem for path in SHIPPED_DIR.glob("*.toml")}
    for check in checks.values():
        for metric in check.metrics:
            assert re.fullmatch(r"shippyard_health_[a-z_]+", metric.name)
            assert not {"pid", "query"} & set(metric.labels), metric.name


def test_the_shipped_rules() -> None:
    rules = {
        check.alert.rule: (check.alert.severity, check.alert.for_s, check.every_s)
        for check in load_checks(Health())
        if check.alert
    }
    assert rules == {
        "archiver_failing": ("page", 60, 30),
        "blocked": ("page", 10, 1),
        "checksum_failure": ("page", 0, 5),
        "connections_near_limit": ("ticket", 30, 5),
        "idle_in_transaction": ("ticket", 0, 5),
        "invalid_index": ("ticket", 120, 30),
        "long_running": ("page", 0, 5),
        "prepared_forgotten": ("ticket", 0, 30),
        "replica_lagging": ("ticket", 300, 5),
        "sequence_ending": ("page", 0, 900),
        "sequence_high": ("ticket", 0, 900),
        "slot_retains_wal": ("ticket", 60, 5),
        "standby_lagging": ("ticket", 300, 5),
        "table_bloated": ("ticket", 3600, 900),
        "transaction_open_for_hours": ("ticket", 0, 5),
        "vacuum_held_back": ("ticket", 300, 30),
        "wraparound_near": ("page", 300, 60),
    }


def test_an_operators_pair_joins_ours(tmp_path: Path) -> None:
    check = loaded(Health(checks_dir=write(tmp_path)))["stuck_orders"]
    assert check.metrics[0].help == "Orders nobody ships"
    assert check.metrics[0].labels == ()
    assert check.alert is not None
    assert check.alert.rule == "stuck_orders"
    assert check.alert.when == Condition("value", ">", 0.0)


def test_overrides_reach_sql_and_alert() -> None:
    overrides = {
        "long_running": CheckOverride(every_s=1, timeout_s=3, params={"threshold_s": 2}),
        "connection_limits": CheckOverride(params={"near_limit_ratio": 0.5}),
        "archiver": CheckOverride(enabled=False),
    }
    checks = loaded(Health(checks=overrides))
    assert "archiver" not in checks
    long_running = checks["long_running"]
    assert (long_running.every_s, long_running.timeout_s) == (1, 3)
    assert long_running.params == {"threshold_s": 2}
    limits = checks["connection_limits"].alert
    assert limits is not None
    assert limits.when.limit == 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("every_s = 60", "every_s = 'often'"), "'every_s'"),
        (("every_s = 60", "evry_s = 60"), r"toml:3: 'evry_s': Extra inputs"),
        (("every_s = 60", ""), "say cadence = 'fast'"),
        (("every_s = 60", "every_s = 60\ncadence = 'fast'"), "from 0.2 to 5"),
        (("every_s = 60", "cadence = 'often'"), r"toml:3: 'cadence'"),
        (("summary =", "summry ="), "summary"),
        (("timeout_s = 2", "timeout_s = 30"), "timeout_s"),
        (("every_s = 60", "every_s = 60 60"), "not TOML"),
        (("value > 0", "value above 0"), "is not a condition"),
        (("value > 0", "value > most"), r"neither a number nor one of \[params\]"),
        (("old_s = 3600", ""), r"\[params\] lacks 'old_s'"),
        (("old_s = 3600", "old_s = 1\nolder_s = 2"), "nothing uses the parameter 'older_s'"),
        (("timeout_s = 2", "timeout_s = 2\nshape = 'round'"), "no shape 'round'"),
        (("shop_stuck_orders", "shop_stuck_orders_total"), "a counter's name ends in _total"),
        (("shop_stuck_orders", "shippyard_build_info"), "the daemon's own"),
        (("shop_stuck_orders", "shippyard_health_database_up"), "the daemon's own"),
        (("shop_stuck_orders", "shippyard_health_replicas"), "metric .* is already in"),
        (("shop_stuck_orders", "Shop-Orders"), "metric.0.name"),
        (('severity = "ticket"', 'severity = "loud"'), "alert.severity"),
        (('severity = "ticket"', 'severity = "info"\nrule = "blocked"'), "rule .* is already in"),
        (('severity = "ticket"', 'severity = "info"\nsummary = "{a.b}"'), "not a column's name"),
        (('severity = "ticket"', 'severity = "info"\nsummary = "{a"'), "alert.summary"),
    ],
)
def test_a_wrong_toml_is_named(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    settings = Health(checks_dir=write(tmp_path, TOML.replace(*change)))
    with pytest.raises(CheckInvalid, match=reason) as caught:
        load_checks(settings)
    assert "stuck_orders.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lone_percent_in_sql_is_named(tmp_path: Path) -> None:
    settings = Health(checks_dir=write(tmp_path, sql=SQL + "\nAND name LIKE 'a%'"))
    with pytest.raises(CheckInvalid, match=r"stuck_orders\.sql:2: write %% for a percent sign"):
        load_checks(settings)


@pytest.mark.parametrize("sql", ["DELETE FROM orders", "", "-- why\nVACUUM"])
def test_what_is_no_question_is_named(tmp_path: Path, sql: str) -> None:
    settings = Health(checks_dir=write(tmp_path, TOML.replace("old_s = 3600", ""), sql))
    with pytest.raises(CheckInvalid, match=r"stuck_orders\.sql:1: a check is one SELECT"):
        load_checks(settings)


def test_each_major_gets_the_form_that_is_for_it(tmp_path: Path) -> None:
    write(tmp_path, TOML.replace("timeout_s = 2", "timeout_s = 2\nmin_version = 15"))
    (tmp_path / "stuck_orders.sql").rename(tmp_path / "stuck_orders.15.sql")
    (tmp_path / "stuck_orders.17.sql").write_text("-- later\n" + SQL)
    check = loaded(Health(checks_dir=tmp_path))["stuck_orders"]
    assert [check.applies_to(major * 10_000 + 3) for major in (14, 15, 16, 17, 18)] == [
        False, True, True, True, True,
    ]  # fmt: skip
    assert [check.sql_for(major * 10_000).startswith("-- later") for major in (15, 16, 17, 18)] == [
        False, False, True, True,
    ]  # fmt: skip
    with pytest.raises(LookupError):
        check.sql_for(140_000)


def test_a_cadence_says_how_often(tmp_path: Path) -> None:
    settings = Health(checks_dir=write(tmp_path, TOML.replace("every_s = 60", "cadence = 'slow'")))
    check = loaded(settings)["stuck_orders"]
    assert (check.every_s, check.cadence, check.is_shipped) == (900, "slow", False)


def test_the_schema_of_an_extension_needs_its_name(tmp_path: Path) -> None:
    settings = Health(checks_dir=write(tmp_path, sql=SQL + " AND {extension_schema}.f()"))
    with pytest.raises(CheckInvalid, match=r"stuck_orders\.toml: .* name the extension here"):
        load_checks(settings)


@pytest.mark.parametrize("missing", ["sql", "toml"])
def test_half_a_pair_is_named(tmp_path: Path, missing: str) -> None:
    (write(tmp_path) / f"stuck_orders.{missing}").unlink()
    with pytest.raises(CheckInvalid, match=rf"no stuck_orders\.{missing} beside it"):
        load_checks(Health(checks_dir=tmp_path))


def test_a_shipped_checks_name_is_taken(tmp_path: Path) -> None:
    with pytest.raises(CheckInvalid, match="check 'server' is already in"):
        load_checks(Health(checks_dir=write(tmp_path, name="server")))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckInvalid, match=r"checks\.d: no such folder"):
        load_checks(Health(checks_dir=tmp_path / "checks.d"))


@pytest.mark.parametrize(
    ("name", "override", "reason"),
    [
        ("blocking_edge", CheckOverride(), "did you mean 'blocking_edges'"),
        ("long_running", CheckOverride(params={"treshold_s": 1}), "no parameter 'treshold_s'"),
        ("long_running", CheckOverride(timeout_s=30), "at most 9"),
    ],
)
def test_a_wrong_override_is_named(name: str, override: CheckOverride, reason: str) -> None:
    with pytest.raises(CheckInvalid, match=reason):
        load_checks(Health(checks={name: override}))
