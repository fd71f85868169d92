"""What `health.blockers` says of a row that is held, by a session or by a prepared transaction."""

from collections.abc import Iterator

import pytest

from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.health.blockers import build
from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of
from tests.integration.health.test_locks_seen import held, waiting  # noqa: F401  a fixture


class Silent:
    def progress(self, fields: Document) -> None:
        """Nobody listens."""

    def item(self, fields: Document) -> None:
        """Nobody listens."""


def told(target: Target, **params: str) -> Document:
    """What a viewer is told of the only database."""
    (method,) = build({"main": lambda: watcher_of(target)})
    answer = method.run(Call(params, Peer(0, "v", frozenset({"viewer"})), Silent()))
    (database,) = answer["databases"]
    return dict(database)


def test_a_session_that_holds_a_row_is_the_root(held: Target, eventually: Eventually) -> None:  # noqa: F811
    assert told(held)["victims_total"] == 0
    with waiting(held, "UPDATE stock SET n = 2"):
        eventually(lambda: told(held)["victims_total"] == 1)
        found = told(held, database="main")
    (root,) = found["roots"]
    assert root["victims"] == 1
    assert (
        f"pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {root['pid']} AND"
        in (root["action"])
    )
    assert root["backend_start"].replace("T", " ") in root["action"]
    assert found["prepared"] == []


def test_ddl_that_queues_is_told_apart(held: Target, eventually: Eventually) -> None:  # noqa: F811
    with waiting(held, "ALTER TABLE stock ADD COLUMN m int"):
        eventually(lambda: bool(told(held)["ddl_queues"]))
        with waiting(held, "SELECT FROM stock"):
            eventually(lambda: told(held)["ddl_queues"][0]["queued_behind"] == 1)
        assert told(held)["ddl_queues"][0]["relation"] == "public.stock"


def test_an_unknown_database_is_refused(fresh_database: Target) -> None:
    with pytest.raises(MethodError, match="no database 'nope' in config; try one of: main"):
        told(fresh_database, database="nope")


@pytest.fixture
def preparing(processes: Processes) -> Iterator[Target]:
    settings = {"max_prepared_transactions": "2"}
    with embedded_cluster(server_tools(processes), processes, settings) as running:
        yield running.target()


def test_a_prepared_transaction_is_named_with_its_end(
    preparing: Target, eventually: Eventually
) -> None:
    with connect(preparing) as client:
        client.execute("CREATE TABLE stock AS SELECT 1 AS n")
        client.execute("CREATE TABLE other AS SELECT 1 AS n")
        for table, gid in (("other", "bystander"), ("stock", "it''s")):
            client.execute("BEGIN")
            client.execute(f"UPDATE {table} SET n = 2".encode())
            client.execute(f"PREPARE TRANSACTION '{gid}'".encode())
        with waiting(preparing, "UPDATE stock SET n = 3"):
            eventually(lambda: bool(told(preparing)["prepared"]))
            found = told(preparing)
    assert [root["pid"] for root in found["roots"]] == [0]
    assert [each["action"] for each in found["prepared"]] == ["ROLLBACK PREPARED 'it''s'"]
