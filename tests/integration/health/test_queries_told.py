"""What `health.queries` says of statements on a server that counts them."""

from collections.abc import Iterator
from typing import Any

import pytest

from shippyard.config.models import Health
from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.health.asking import Asker
from shippyard.health.loader import load_checks
from shippyard.health.model import Check
from shippyard.health.queries import CHECK, Source, build
from shippyard.health.shape import Shape
from shippyard.host.process import Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from tests.integration.health.conftest import connect

TOP: Check = next(check for check in load_checks(Health()) if check.name == CHECK)


class Silent:
    def progress(self, fields: Document) -> None:
        """Nobody listens."""

    def item(self, fields: Document) -> None:
        """Nobody listens."""


class Looks:
    """A poller in small: it looks when it is told to."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._asker = Asker(target.user)
        self._now_s = 0.0

    def look(self) -> dict[str, dict[str, float]]:
        self._now_s += 30
        with session(self._target, "test") as opened:
            answer, _ = self._asker.ask(opened, TOP, {"database": "d"}, self._now_s)
        return {f.name: {s.labels["queryid"]: s.value for s in f.samples} for f in answer.families}

    def shape(self, check: str) -> Shape | None:
        return self._asker.shape(check)


@pytest.fixture(scope="module")
def counting() -> Iterator[Target]:
    settings = {"shared_preload_libraries": "pg_stat_statements", "compute_query_id": "on"}
    processes = Processes()
    with embedded_cluster(server_tools(processes), processes, settings=settings) as cluster:
        with connect(cluster.target()) as connection:
            connection.execute("CREATE SCHEMA extensions")
            connection.execute("CREATE EXTENSION pg_stat_statements SCHEMA extensions")
        yield cluster.target()


def told(looks: Looks, target: Target, **params: Any) -> Document:
    (method,) = build([Source("main", "main", looks, lambda: target)])
    answer = method.run(Call(params, Peer(0, "v", frozenset({"viewer"})), Silent()))
    (cluster,) = answer["clusters"]
    return dict(cluster)


def test_the_costliest_comes_first_with_its_text_and_its_figures(counting: Target) -> None:
    looks = Looks(counting)
    assert "nothing is known yet" in told(looks, counting)["error"]
    with connect(counting) as connection:
        for _ in range(2):
            looks.look()
            for _ in range(10):
                connection.execute("SELECT count(*) AS costly FROM generate_series(1, 200000)")
            connection.execute("SELECT 1 AS cheap")
        counters = looks.look()
    answer = told(looks, counting)
    first = answer["queries"][0]
    assert "costly" in first["query"]
    assert (first["calls"], first["rows_per_call"]) == (10, 1)
    assert first["share"] > 0.5
    assert (answer["error"], answer["window_s"]) == (None, 60)
    by_calls = told(looks, counting, by="calls", limit=1)["queries"]
    assert [each["queryid"] for each in by_calls] == [first["queryid"]]
    assert told(looks, counting, database="elsewhere")["queries"] == []
    assert counters["shippyard_health_statement_calls_total"][first["queryid"]] == 10


def test_a_reset_in_between_does_no_harm(counting: Target) -> None:
    looks = Looks(counting)
    with connect(counting) as connection:
        looks.look()
        connection.execute("SELECT 'again' AS again")
        before = looks.look()
        connection.execute("SELECT extensions.pg_stat_statements_reset()")
        connection.execute("SELECT 'again' AS again")
        after = looks.look()
    name = "shippyard_health_statement_calls_total"
    assert all(after[name].get(each, value) >= value for each, value in before[name].items())


@pytest.mark.parametrize("params", [{"by": "beauty"}, {"limit": 0}, {"limit": "all"}])
def test_what_is_nothing_to_go_by_is_refused(counting: Target, params: dict[str, Any]) -> None:
    with pytest.raises(MethodError):
        told(Looks(counting), counting, **params)
