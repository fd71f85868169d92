"""Every shipped check on every PostgreSQL of this machine, as a role with pg_monitor only."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shippyard.config.models import Health
from shippyard.health.asking import Asker, Lacking
from shippyard.health.evaluate import Answer
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of

SERVERS = installed_tools(Processes(), program="initdb")
CHECKS = {check.name: check for check in load_checks(Health())}
LABELS = {"database": "shop", "cluster": "main"}
SETTINGS = {"shared_preload_libraries": "pg_stat_statements"}

# NULL on a primary that has archived nothing and receives nothing, or of what there is none here.
ABSENT_HERE = {
    "shippyard_health_locks",
    "shippyard_health_progress_age_seconds",
    "shippyard_health_progress_done_ratio",
    "shippyard_health_progress_operations",
    "shippyard_health_sequence_used_ratio",
    "shippyard_health_table_autovacuums_total",
    "shippyard_health_table_bloat_bytes",
    "shippyard_health_table_bloat_ratio",
    "shippyard_health_table_dead_rows",
    "shippyard_health_table_heap_bytes",
    "shippyard_health_table_index_scans_total",
    "shippyard_health_table_live_rows",
    "shippyard_health_table_rows_since_analyze",
    "shippyard_health_table_sequential_scans_total",
    "shippyard_health_table_since_vacuum_seconds",
    "shippyard_health_table_vacuum_pressure_ratio",
    "shippyard_health_slot_active",
    "shippyard_health_slot_lost",
    "shippyard_health_slot_retained_wal_bytes",
    "shippyard_health_slot_safe_wal_bytes",
    "shippyard_health_snapshot_held_seconds",
    "shippyard_health_unused_index_bytes",
    "shippyard_health_xmin_age_transactions",
    "shippyard_health_archiver_since_success_seconds",
    "shippyard_health_database_since_checksum_failure_seconds",
    "shippyard_health_archiver_since_failure_seconds",
    "shippyard_health_standby_unreplayed_bytes",
    "shippyard_health_standby_replay_paused",
    "shippyard_health_standby_since_message_seconds",
}


# What nobody else may ask: a directory of the server's is listed.
ONLY_FOR_MONITORS = {"archiver_backlog", "wal_dir"}


def _named(tools: Tools) -> str:
    return f"postgresql-{tools.major}"


@pytest.fixture(scope="module", params=SERVERS, ids=_named)
def server(
    request: pytest.FixtureRequest, processes: Processes
) -> Iterator[tuple[EmbeddedCluster, Tools]]:
    with embedded_cluster(request.param, processes, SETTINGS) as running:
        with connect(running.target()) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
        yield running, request.param


@pytest.fixture
def watcher(server: tuple[EmbeddedCluster, Tools]) -> Target:
    return watcher_of(server[0].target())


def fitting(server: tuple[EmbeddedCluster, Tools]) -> list[Check]:
    """Those that its version has."""
    return [check for check in CHECKS.values() if check.applies_to(server[1].major * 10_000)]


def ask(target: Target, check: Check) -> Answer:
    with session(target, "test") as opened:
        answer, _ = Asker(target.user).ask(opened, check, LABELS, 0.0)
    return answer


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_check_gives_every_metric_it_declares(
    server: tuple[EmbeddedCluster, Tools], watcher: Target, name: str
) -> None:
    check = CHECKS[name]
    if not check.applies_to(server[1].major * 10_000):
        return
    with connect(watcher):  # somebody to be counted among the connections
        shown = {family.name for family in ask(watcher, check).families}
    expected = {metric.name for metric in check.metrics} - ABSENT_HERE
    assert shown == (set() if name == "replication_primary" else expected)


def test_what_is_shown_is_what_prometheus_reads(
    server: tuple[EmbeddedCluster, Tools], watcher: Target
) -> None:
    exposition = Exposition(Metrics())
    for check in fitting(server):
        exposition.publish(check.name, ask(watcher, check).families)
    parsed = {f.name: f for f in text_string_to_metric_families(exposition.render().decode())}
    commits = parsed["shippyard_health_database_commits"]
    assert commits.type == "counter"
    here = [s for s in commits.samples if s.labels["datname"] == "postgres"]
    assert [s.labels["database"] for s in here] == ["shop"]
    assert here[0].value > 0


def test_a_receiver_of_wal_is_seen(
    server: tuple[EmbeddedCluster, Tools],
    watcher: Target,
    processes: Processes,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    cluster, tools = server
    receive = [tools.path("pg_receivewal"), f"--directory={tmp_path}", "--no-loop"]
    at = [f"--host={cluster.socket_dir}", "--username=postgres"]

    def shown() -> dict[str, Family]:
        families = ask(watcher, CHECKS["replication_primary"]).families
        return {family.name: family for family in families}

    with processes.start([*receive, *at]):
        (streaming,) = eventually(shown)["shippyard_health_replication_streaming"].samples
    assert streaming.labels["application_name"] == "pg_receivewal"


@pytest.fixture
def standby(
    server: tuple[EmbeddedCluster, Tools], processes: Processes
) -> Iterator[EmbeddedCluster]:
    """A hot standby of the server, from a base backup."""
    primary, tools = server
    folder = Path(tempfile.mkdtemp(prefix="shippyard-standby-"))
    folder.chmod(0o755)
    made = EmbeddedCluster(folder, tools, processes)
    made.socket_dir.mkdir()
    account = account_for_postgres()
    if account:
        shutil.chown(folder, account)
        shutil.chown(made.socket_dir, account)
    copied = processes.run(
        [
            primary._tools.path("pg_basebackup"),
            f"--pgdata={made.data_dir}",
            f"--host={primary.socket_dir}",
            "--username=postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
        ],
        timeout_s=30,
        user=account,
        cwd=folder,
    )
    assert copied.returncode == 0, copied.stderr
    with (made.data_dir / "postgresql.conf").open("a") as file:
        file.write(f"unix_socket_directories = '{made.socket_dir}'\n")
    made._tools = primary._tools
    made.start()
    yield made
    made.destroy()


def test_a_standby_knows_that_it_is_one(
    server: tuple[EmbeddedCluster, Tools],
    watcher: Target,
    standby: EmbeddedCluster,
    eventually: Eventually,
) -> None:
    here = Target(str(standby.socket_dir), 5432, "postgres", watcher.user)

    def caught_up() -> dict[str, float]:
        families = ask(here, CHECKS["replication_standby"]).families
        figures = {family.name: family.samples[0].value for family in families}
        # Nothing was applied and the receiver is about to stream: then neither is known.
        known = figures.get("shippyard_health_standby_replay_delay_seconds") == 0
        return figures if known and "shippyard_health_standby_unreplayed_bytes" in figures else {}

    figures = eventually(caught_up)
    assert figures["shippyard_health_standby_replay_paused"] == 0
    families = ask(here, CHECKS["server"]).families
    recovery = next(f for f in families if f.name == "shippyard_health_server_in_recovery")
    assert recovery.samples[0].value == 1
    primary = CHECKS["replication_primary"]
    declared = {metric.name for metric in primary.metrics}
    eventually(lambda: {family.name for family in ask(watcher, primary).families} == declared)
    # Nothing that is asked of a primary may fail here.
    for check in fitting(server):
        ask(here, check)


def test_a_role_without_pg_monitor_gets_answers_and_no_errors(
    server: tuple[EmbeddedCluster, Tools], watcher: Target
) -> None:
    with connect(replace(watcher, user="postgres")) as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
        stranger = replace(watcher, user="stranger")
        for check in fitting(server):
            if check.name not in ONLY_FOR_MONITORS:
                ask(stranger, check)
        for name in ONLY_FOR_MONITORS:
            with pytest.raises(Lacking, match="permission denied"):
                ask(stranger, CHECKS[name])
        admin.execute("DROP ROLE stranger")
