"""What a configuration wants of a server: roles with the least they need, pure."""

from pathlib import Path
from typing import Any

import pytest

from shippyard.config.migration import Migration
from shippyard.config.models import Config
from shippyard.setup.bootstrap.model import BootstrapRefused
from shippyard.setup.bootstrap.wanted import Rights, WantedCluster, WantedRole, wanted_clusters


def a_config(*databases: dict[str, Any], **more: Any) -> Config:
    usual = {
        "dbname": "shop",
        "monitor": {"user": "watcher"},
        "backup": {"user": "dumper"},
        "migrator": {"user": "mover"},
    }
    return Config.model_validate(
        {
            "environment": "testing",
            "daemon": {"state_dir": "/tmp/state"},
            "backup": {"dir": "/tmp/backups", **more.pop("backup", {})},
            "databases": [usual | each for each in databases or ({"name": "shop"},)],
            **more,
        }
    )


def only(config: Config) -> WantedCluster:
    (cluster,) = wanted_clusters(config)
    return cluster


def role(cluster: WantedCluster, name: str) -> WantedRole:
    return next(each for each in cluster.roles if each.name == name)


@pytest.mark.parametrize(
    ("name", "attributes", "member_of"),
    [
        ("shippyar_owner", {"BYPASSRLS"}, {"pg_read_all_stats"}),
        ("mover", {"LOGIN", "BYPASSRLS"}, {"shippyar_owner"}),
        ("shippyar_app", {"LOGIN"}, set()),
        ("shippyar_admin", set(), set()),
        ("analytics_ro", {"LOGIN"}, set()),
        ("dumper", {"LOGIN", "BYPASSRLS"}, {"pg_read_all_data"}),
        ("watcher", {"LOGIN"}, {"pg_monitor"}),
        ("shippyard_signal", {"LOGIN"}, {"pg_signal_backend", "pg_read_all_stats"}),
    ],
)
def test_a_role_has_what_it_needs_and_no_more(
    name: str, attributes: set[str], member_of: set[str]
) -> None:
    wanted = role(only(a_config()), name)
    assert wanted.attributes == attributes
    assert wanted.member_of == member_of


def test_autovacuum_makes_way_for_the_migrator_before_it_gives_a_lock_up() -> None:
    policy = Migration(alembic_ini=Path("alembic.ini"))
    settings = dict(role(only(a_config()), "mover").settings)
    assert int(settings["deadlock_timeout"].removesuffix("ms")) < policy.lock_timeout_ms


def test_restores_let_the_migrator_make_databases() -> None:
    wanted = role(only(a_config(access={"restores": True})), "mover")
    assert "CREATEDB" in wanted.attributes


def test_roles_of_base_backups_are_wanted_where_config_names_them() -> None:
    kept = {"clusters": {"main": {"replication": {"user": "streamer"}, "canary": {"user": "bird"}}}}
    cluster = only(a_config(backup=kept))
    assert role(cluster, "streamer").attributes == {"LOGIN", "REPLICATION"}
    assert role(cluster, "bird").attributes == {"LOGIN"}
    assert cluster.databases[0].canary == "bird"
    assert {"streamer", "bird"} <= cluster.databases[0].connects


def test_the_canary_is_in_the_first_database_only() -> None:
    kept = {"clusters": {"main": {"canary": {"user": "bird"}}}}
    cluster = only(a_config({"name": "one"}, {"name": "two", "dbname": "other"}, backup=kept))
    assert [each.canary for each in cluster.databases] == ["bird", None]
    assert "bird" not in cluster.databases[1].connects


def test_a_role_with_two_tasks_has_what_both_need_once() -> None:
    cluster = only(a_config({"name": "shop", "monitor": {"user": "dumper"}}))
    assert role(cluster, "dumper").member_of == {"pg_monitor", "pg_read_all_data"}
    assert len([each for each in cluster.roles if each.name == "dumper"]) == 1


def test_each_cluster_has_its_own_databases() -> None:
    config = a_config({"name": "one"}, {"name": "two", "cluster": "other", "host": "/elsewhere"})
    assert [(each.name, len(each.databases)) for each in wanted_clusters(config)] == [
        ("main", 1),
        ("other", 1),
    ]


def test_the_monitor_reads_sequences_and_the_tables_of_chosen_schemas_only() -> None:
    everywhere = Rights("watcher", ("public",), sequences=("SELECT",))
    rights = only(a_config()).databases[0].rights
    assert [each for each in rights if each.role == "watcher"] == [everywhere]
    rights = only(a_config(access={"monitor_schemas": ["stats"]})).databases[0].rights
    chosen = Rights("watcher", ("stats",), ("SELECT",), ("SELECT",))
    assert [each for each in rights if each.role == "watcher"] == [everywhere, chosen]


@pytest.mark.parametrize("user", ["shippyar_owner", "shippyar_app", "analytics_ro"])
def test_the_migrator_has_no_other_task(user: str) -> None:
    with pytest.raises(BootstrapRefused, match="give it a role of its own"):
        wanted_clusters(a_config({"name": "shop", "migrator": {"user": user}}))


def test_a_name_that_postgresql_would_cut_off_is_refused() -> None:
    with pytest.raises(BootstrapRefused, match="over 63 bytes"):
        wanted_clusters(a_config(access={"owner": "o" * 64}))
