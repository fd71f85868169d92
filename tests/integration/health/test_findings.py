"""What is wrong is found, named with its cause, and ended by the command that is given."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from shippyard.config.models import CheckOverride
from shippyard.health.model import Finding
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually
from tests.integration.health.conftest import QUICK, Found, WatchThe, connect, watcher_of

EVERY_WAIT = CheckOverride(every_s=0.2, params={"min_wait_s": 0.1})

SHORT_TRANSACTIONS = """
DO $$ BEGIN
  FOR turn IN 1..5 LOOP
    UPDATE orders SET n = n + 1 WHERE id = 1;
    PERFORM pg_sleep(0.3);
    COMMIT;
  END LOOP;
END $$"""


class Worker:
    """One statement in a session of its own, in the background."""

    def __init__(self, target: Target, statement: str, application: str = "worker") -> None:
        self._connection = connect(target, application)
        self.pid = self._connection.info.backend_pid
        self.outcome: str | None = None
        self._thread = threading.Thread(target=self._run, args=(statement.encode(),), daemon=True)
        self._thread.start()

    def _run(self, statement: bytes) -> None:
        try:
            self._connection.execute(statement)
            self.outcome = "done"
        except psycopg.Error as error:
            self.outcome = error.sqlstate or "lost"
        finally:
            self._connection.close()

    def ended(self) -> str | None:
        return self.outcome


@pytest.fixture
def shop(fresh_database: Target) -> Target:
    with connect(fresh_database) as admin:
        admin.execute("CREATE TABLE orders (id int PRIMARY KEY, n int)")
        admin.execute("INSERT INTO orders VALUES (1, 0), (2, 0)")
    return fresh_database


def run_action(target: Target, action: str) -> None:
    with connect(target) as operator:
        assert operator.execute(action.encode()).fetchall() == [(True,)]


def test_an_idle_root_is_found_and_ended_and_the_all_clear_follows(
    shop: Target, watched: WatchThe, eventually: Eventually
) -> None:
    # Not left as a context: this session is ended under us.
    root = connect(shop, "forgetful")
    with watched(watcher_of(shop), {"blocking_edges": EVERY_WAIT}) as watch:
        root.execute("BEGIN")
        root.execute("UPDATE orders SET n = 1 WHERE id = 1")
        victims = [Worker(shop, "UPDATE orders SET n = 2 WHERE id = 1") for _ in range(3)]

        def all_seen() -> Finding | None:
            finding = watch.finding("blocked")
            return finding if finding and finding.evidence["victims_total"] == 3 else None

        finding = eventually(all_seen)
        assert finding is not None
        (told,) = finding.evidence["roots"]
        assert told["pid"] == root.info.backend_pid
        assert told["victims"] == 3
        assert (told["state"], told["application"]) == ("idle in transaction", "forgetful")
        assert told["query"] == "UPDATE orders SET n = 1 WHERE id = 1"
        assert {v["pid"] for v in finding.evidence["victims"]} == {v.pid for v in victims}
        assert told["action"] in finding.summary
        assert "pg_terminate_backend" in told["action"]
        assert finding.evidence["tree"].splitlines()[0].startswith(f"pid {told['pid']} ")

        def facts_agree() -> bool:
            facts = watch.live.facts("shop")
            return facts is not None and facts.blocked_sessions == 3

        eventually(facts_agree)

        run_action(shop, told["action"])
        eventually(lambda: [v.outcome for v in victims] == ["done"] * 3)
        eventually(lambda: (seen := watch.newest("blocked")) and seen.finding is None)
        # The session is gone, so the command finds nobody else under its pid.
        with connect(shop) as operator:
            assert operator.execute(told["action"].encode()).fetchall() == []
    root.close()


def test_a_running_root_is_cancelled_and_its_session_lives(
    shop: Target, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    with watched(watcher_of(shop), {"blocking_edges": EVERY_WAIT}) as watch:
        statement = "UPDATE orders SET n = 1 WHERE id = 1 RETURNING pg_sleep(60)"
        root = Worker(shop, statement)
        with connect(shop) as looker:
            running = "SELECT 1 FROM pg_locks WHERE pid = %s AND locktype = 'transactionid'"
            eventually(lambda: looker.execute(running, [root.pid]).fetchone())
        victim = Worker(shop, "UPDATE orders SET n = 2 WHERE id = 1")
        finding = found(watch, "blocked")
        (told,) = finding.evidence["roots"]
        assert (told["pid"], told["state"]) == (root.pid, "active")
        assert "pg_cancel_backend" in told["action"]
        run_action(shop, told["action"])
        assert eventually(root.ended) == "57014"
        assert eventually(victim.ended) == "done"


def test_a_ddl_queue_is_told(shop: Target, watched: WatchThe, eventually: Eventually) -> None:
    with (
        watched(watcher_of(shop), {"blocking_edges": EVERY_WAIT}) as watch,
        connect(shop, "reader") as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM orders")
        ddl = Worker(shop, "ALTER TABLE orders ADD COLUMN note text")
        with connect(shop) as looker:
            queued = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
            eventually(lambda: looker.execute(queued, [ddl.pid]).fetchone())
        behind = Worker(shop, "SELECT * FROM orders")

        def queue_seen() -> Finding | None:
            finding = watch.finding("blocked")
            queues = finding.evidence["ddl_queues"] if finding else []
            return finding if queues and queues[0]["queued_behind"] else None

        finding = eventually(queue_seen)
        assert finding is not None
        (queue,) = finding.evidence["ddl_queues"]
        assert (queue["pid"], queue["queued_behind"]) == (ddl.pid, 1)
        assert queue["relation"] == "public.orders"
        assert finding.evidence["roots"][0]["pid"] == reader.info.backend_pid
        run_action(shop, queue["action"])
        assert eventually(behind.ended) == "done"
        assert eventually(ddl.ended) == "57014"


def test_a_busy_row_is_no_block_and_a_long_wait_for_it_is_one(
    shop: Target, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    patient = CheckOverride(every_s=0.2, params={"min_wait_s": 1.5})
    with watched(watcher_of(shop), {"blocking_edges": patient}) as watch:
        clients = [Worker(shop, SHORT_TRANSACTIONS, f"client {n}") for n in range(3)]

        def two_wait() -> bool:
            facts = watch.live.facts("shop")
            return facts is not None and facts.blocked_sessions == 2

        eventually(two_wait)
        eventually(lambda: all(client.outcome for client in clients), 20)
        assert [client.outcome for client in clients] == ["done"] * 3
        looks = [seen for seen in watch.observed if seen.rule == "blocked"]
        assert len(looks) > 2
        assert all(seen.finding is None for seen in looks)

        with connect(shop, "forgetful") as root:
            root.execute("BEGIN")
            root.execute("UPDATE orders SET n = 1 WHERE id = 1")
            victim = Worker(shop, "UPDATE orders SET n = 2 WHERE id = 1")
            finding = found(watch, "blocked")
            assert finding.evidence["roots"][0]["pid"] == root.info.backend_pid
            assert finding.evidence["victims"][0]["wait_s"] >= 1.5
            root.execute("ROLLBACK")
            assert eventually(victim.ended) == "done"


@pytest.fixture(scope="module")
def preparing(processes: Processes) -> Iterator[EmbeddedCluster]:
    settings = {"max_prepared_transactions": "5"}
    with embedded_cluster(server_tools(processes), processes, settings) as running:
        yield running


def test_a_prepared_transaction_is_a_root(
    preparing: EmbeddedCluster, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    shop = preparing.target()
    with connect(shop) as admin, watched(watcher_of(shop), {"blocking_edges": EVERY_WAIT}) as watch:
        admin.execute("CREATE TABLE orders AS SELECT 1 AS id, 0 AS n")
        admin.execute("BEGIN")
        admin.execute("UPDATE orders SET n = 1")
        admin.execute("PREPARE TRANSACTION 'forgotten'")
        victim = Worker(shop, "UPDATE orders SET n = 2")
        finding = found(watch, "blocked")
        assert finding.evidence["roots"][0]["pid"] == 0
        assert "ROLLBACK PREPARED" in finding.evidence["roots"][0]["action"]
        assert "a prepared transaction" in finding.summary
        admin.execute("ROLLBACK PREPARED 'forgotten'")
        assert eventually(victim.ended) == "done"


def test_a_long_statement_is_found_and_cancelled(
    shop: Target, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    quick = CheckOverride(every_s=0.2, params={"threshold_s": 0.3})
    with (
        watched(watcher_of(shop), {"long_running": quick}) as watch,
        connect(shop) as idle,
        connect(shop) as holder,
    ):
        idle.execute("SELECT 'an idle session keeps its last statement'")
        holder.execute("BEGIN")
        holder.execute("UPDATE orders SET n = 1")
        victim = Worker(shop, "UPDATE orders SET n = 2", "a victim's block is paged, not it")
        dump = Worker(shop, "SELECT pg_sleep(60)", "pg_dump")
        long = Worker(shop, f"SELECT pg_sleep(60) /* {'x' * 2000} */", "report")
        finding = found(watch, "long_running")
        (told,) = finding.evidence["sessions"]
        assert (told["pid"], told["application"], told["user"]) == (long.pid, "report", "postgres")
        assert told["age_s"] >= 0.3
        assert 1000 < len(told["query"]) <= 1024
        assert told["action"] in finding.summary
        run_action(shop, told["action"])
        assert eventually(long.ended) == "57014"
        eventually(lambda: (seen := watch.newest("long_running")) and seen.finding is None)
        assert dump.outcome is None
        assert victim.outcome is None
        holder.execute("ROLLBACK")
        assert eventually(victim.ended) == "done"
        with connect(shop) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [dump.pid])
        eventually(dump.ended)


def test_a_session_idle_in_a_transaction_is_found_and_ended(
    shop: Target, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    quick = CheckOverride(every_s=0.2, params={"threshold_s": 0.3})
    overrides = {"idle_in_transaction": quick, "transactions": QUICK}
    idle = connect(shop, "forgetful")
    with watched(watcher_of(shop), overrides) as watch:
        idle.execute("BEGIN")
        idle.execute("SELECT 1")
        finding = found(watch, "idle_in_transaction")
        (told,) = finding.evidence["sessions"]
        assert told["pid"] == idle.info.backend_pid

        def old_transaction() -> bool:
            facts = watch.live.facts("shop")
            return facts is not None and facts.longest_transaction_s > 0.3

        eventually(old_transaction)
        run_action(shop, told["action"])
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    idle.close()


def test_connections_near_their_limit_are_found(
    shop: Target, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    low = CheckOverride(every_s=0.2, params={"near_limit_ratio": 0.01})
    with watched(watcher_of(shop), {"connection_limits": low}) as watch:
        finding = found(watch, "connections_near_limit")
        assert "connections are in use (" in finding.summary


def test_failing_archiving_is_found_and_over_when_it_works(
    processes: Processes, watched: WatchThe, eventually: Eventually, found: Found
) -> None:
    settings = {"archive_mode": "on", "archive_command": "false"}
    with embedded_cluster(server_tools(processes), processes, settings) as cluster:
        admin_target = cluster.target()
        with (
            connect(admin_target) as admin,
            watched(watcher_of(admin_target), {"archiver": QUICK}) as watch,
        ):
            admin.execute("CREATE TABLE t ()")
            admin.execute("SELECT pg_switch_wal()")
            finding = found(watch, "archiver_failing")
            assert "WAL is not archived: " in finding.summary
            admin.execute("ALTER SYSTEM SET archive_command = 'true'")
            admin.execute("SELECT pg_reload_conf()")
            eventually(lambda: watch.finding("archiver_failing") is None, 20)
