"""The poller's turns, one at a time, against a session that does as told."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from shippyard.config.models import Database, Health, Login
from shippyard.control.method import Call, MethodError, Peer, Stream
from shippyard.health import poller as poller_module
from shippyard.health.live import LiveHealth
from shippyard.health.loader import load_checks
from shippyard.health.methods import build
from shippyard.health.model import AlertSpec, Check, Form, MetricSpec, Observation
from shippyard.health.poller import Poller, kind_of
from shippyard.health.when import Condition
from shippyard.postgres.session import QueryFailed, Unreachable
from shippyard.postgres.target import Target
from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock

ROLE = Login(user="m")
DATABASE = Database(name="shop", dbname="shop", monitor=ROLE, backup=ROLE)

Answer = list[dict[str, Any]] | QueryFailed


def check(name: str, every_s: float = 5, min_version: int = 14) -> Check:
    metric = MetricSpec(f"{name}_things", "Things.", "gauge", "value", ())
    alert = AlertSpec(name, Condition("value", ">", 1.0), 10, "page", "{value} things")
    forms = (Form(0, name),)
    return Check(
        name, name, "instance", "rows", forms, every_s, 2, min_version, 99, {}, (metric,), alert
    )  # fmt: skip


class ScriptedSession:
    server_version = 150018
    closed = False

    def __init__(self, clock: FakeClock, answers: dict[str, Answer]) -> None:
        self._clock = clock
        self._answers = answers
        self.took_s: dict[str, float] = {}
        self.asked: list[str] = []

    def query(
        self,
        statement: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float,
        prepare: bool = False,
    ) -> list[dict[str, Any]]:
        self.asked.append(statement)
        self._clock.advance(self.took_s.get(statement, 0.01))
        answer = self._answers[statement]
        if isinstance(answer, QueryFailed):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True

    def sever(self) -> None:
        self.close()


class House:
    """A poller with everything around it."""

    def __init__(self, clock: FakeClock, answers: dict[str, Answer], checks: list[Check]) -> None:
        self.clock = clock
        self.answers = answers
        self.session = ScriptedSession(clock, answers)
        self.reachable = True
        self.metrics = Metrics()
        self.exposition = Exposition(self.metrics)
        self.observed: list[Observation] = []
        self.beats = 0
        self.pauses: list[float] = []
        self.checks = checks
        self.poller = self.another()

    def another(self) -> Poller:
        """A poller of the same database, as a reload makes one."""
        made = Poller(
            DATABASE,
            Target("/nowhere", 5432, "shop", "m"),
            self.checks,
            exposition=self.exposition,
            metrics=self.metrics,
            observe=self.observed.append,
            live=LiveHealth([DATABASE], self.clock),
            clock=self.clock,
            beat=self._beat,
            runs_instance_checks=True,
            connect_timeout_s=3,
            reconnect_max_s=15,
        )
        made._stop.wait = self._wait  # type: ignore[method-assign]  # time is ours
        return made

    def _beat(self) -> None:
        self.beats += 1

    def _wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        self.clock.advance(timeout or 0.0)
        return False

    def open(self, *_: Any, **__: Any) -> ScriptedSession:
        if not self.reachable:
            raise Unreachable("m@/nowhere:5432/shop: no such socket")
        self.session = ScriptedSession(self.clock, self.answers)
        return self.session

    def run_for(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.poller._turn()

    def observed_of(self, rule: str) -> list[Observation]:
        return [seen for seen in self.observed if seen.rule == rule]

    def shown(self, name: str) -> bool:
        return f"\n{name}" in self.exposition.render().decode()

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"shippyard_health_{name}", {"database": "shop", **labels}
        )


Build = Callable[..., House]


@pytest.fixture
def house(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Build:
    def make(*checks: Check, **answers: Answer) -> House:
        made = House(clock, {"SELECT 1": [], **answers}, list(checks))
        monkeypatch.setattr(poller_module, "open_session", made.open)
        return made

    return make


def lost() -> QueryFailed:
    return QueryFailed("server closed the connection unexpectedly", None)


def test_checks_run_on_their_own_cadence(house: Build) -> None:
    made = house(check("a", 1), check("b", 5), a=[{"value": 1}], b=[{"value": 2}])
    made.run_for(20)
    assert 20 <= made.session.asked.count("a") <= 21
    assert 4 <= made.session.asked.count("b") <= 5
    assert made.count("database_up") == 1


def test_samples_carry_database_and_cluster(house: Build) -> None:
    made = house(check("a"), a=[{"value": 1}])
    made.run_for(1)
    assert made.shown('a_things{database="shop",cluster="main"} 1')


def test_a_failing_check_harms_only_itself(house: Build) -> None:
    made = house(check("a", 1), check("b", 1), a=[{"value": 2}], b=[{"value": 2}])
    made.run_for(2)
    assert made.shown("a_things{")
    seen = len(made.observed_of("a"))
    made.answers["a"] = QueryFailed("division by zero", "22012")
    made.run_for(5)
    assert not made.shown("a_things{")
    assert made.shown("b_things{")
    assert made.count("check_errors_total", check="a", error="class_22") == 5
    assert made.count("database_up") == 1
    assert len(made.observed_of("a")) == seen
    status = {c.name: c for c in made.poller.status().checks}
    assert (status["a"].ok, status["a"].error) == (False, "division by zero")
    assert status["b"].ok
    assert set(made.poller.status().findings) == {"b"}


def test_a_missing_right_is_said_once_shown_and_looked_for_again(house: Build) -> None:
    made = house(check("a", 1), check("b", 1), a=[{"value": 2}], b=[{"value": 2}])
    made.run_for(2)
    made.answers["a"] = QueryFailed("permission denied for view v", "42501")
    with capture_logs() as told:
        made.run_for(1000)
    assert [each["event"] for each in told].count("health.check_unavailable") == 1
    assert not made.shown("a_things{")
    assert made.count("check_unavailable", check="a", reason="privilege") == 1
    assert made.count("check_errors_total", check="a") is None
    status = {c.name: c for c in made.poller.status().checks}
    assert status["a"].lack is not None
    assert "GRANT pg_monitor TO m" in str(status["a"].error)
    asked = made.session.asked.count("a")
    made.answers["a"] = [{"value": 2}]
    made.run_for(900)
    assert made.session.asked.count("a") > asked
    assert made.shown("a_things{")
    assert made.count("check_unavailable", check="a", reason="privilege") is None
    assert status["b"].ok


def test_more_series_than_a_check_may_show_are_folded(house: Build) -> None:
    crowded = replace(
        check("a", 1),
        metrics=(MetricSpec("a_things", "Things.", "gauge", "value", ("name",)),),
        series_max=3,
        alert=None,
    )
    made = house(crowded, a=[{"name": str(n), "value": 1} for n in range(10)])
    made.run_for(1.5)
    assert made.exposition.render().count(b"\na_things{") == 3
    assert made.shown('a_things{database="shop",cluster="main",name="other"} 8')
    assert made.count("check_folded_samples", check="a") == 8


def test_a_slow_check_leaves_time_for_the_others(house: Build) -> None:
    made = house(check("slow", 1), check("b", 1), b=[{"value": 1}])
    made.answers["slow"] = QueryFailed("canceling statement due to statement timeout", "57014")
    made.run_for(0.01)
    made.session.took_s["slow"] = 2.0
    made.run_for(60)
    assert made.count("check_errors_total", check="slow", error="timeout") == pytest.approx(
        7, abs=1
    )
    assert made.session.asked.count("b") >= 45


def test_a_finding_and_its_all_clear_are_observed(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    made.run_for(0.5)
    (first,) = made.observed_of("a")
    assert first.finding is not None
    assert (first.rule, first.cluster, first.database) == ("a", "main", "shop")
    assert (first.severity, first.for_s, first.finding.summary) == ("page", 10, "7 things")
    made.answers["a"] = [{"value": 0}]
    made.run_for(1)
    assert made.observed_of("a")[-1].finding is None
    assert made.poller.status().findings == {}


def test_an_observer_that_fails_costs_no_samples(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])

    def broken(_: Observation) -> None:
        raise RuntimeError("state is full")

    made.poller._shown._observe = broken
    made.run_for(2)
    assert made.shown("a_things{")


def test_a_lost_connection_takes_everything_with_it_and_comes_back(house: Build) -> None:
    made = house(check("a", 1), check("b", 60), a=[{"value": 7}], b=[{"value": 7}])
    made.run_for(2)
    made.answers["a"] = lost()
    made.reachable = False
    seen = len(made.observed_of("a"))
    made.run_for(2)
    assert not made.shown("a_things{")
    assert not made.shown("b_things{")
    assert made.count("database_up") == 0
    assert made.count("check_errors_total", check="a", error="lost") == 1
    status = made.poller.status()
    assert (status.up, status.findings) == (False, {})
    assert status.error == "m@/nowhere:5432/shop: no such socket"
    assert len(made.observed_of("a")) == seen
    unreachable = made.observed_of("unreachable")[-1].finding
    assert unreachable is not None
    assert unreachable.summary == "shop does not answer: m@/nowhere:5432/shop: no such socket"
    made.answers["a"] = [{"value": 7}]
    made.reachable = True
    made.run_for(5)
    assert made.shown("a_things{")
    assert made.shown("b_things{")
    assert made.count("database_up") == 1
    assert [o.finding for o in made.observed_of("unreachable")[-2:]] == [None, None]


@pytest.mark.parametrize("sqlstate", ["57P01", None])
def test_a_session_the_server_ended_is_a_lost_one(house: Build, sqlstate: str | None) -> None:
    made = house(check("a", 1), a=QueryFailed("terminating connection", sqlstate))
    made.poller._turn()
    made.poller._turn()
    assert made.session.closed
    assert made.count("check_errors_total", check="a", error="lost") == 1


def test_a_check_that_costs_the_connection_rests_while_the_others_go_on(house: Build) -> None:
    made = house(check("a", 10), check("b", 1), a=lost(), b=[{"value": 1}])
    made.run_for(60)
    # Twice in a row, and from then on no oftener than its cadence.
    assert made.count("check_errors_total", check="a", error="lost") == pytest.approx(7, abs=1)
    assert made.shown("b_things{")
    assert made.count("database_up") == 1


def test_one_loss_makes_no_check_wait(house: Build) -> None:
    # A server that stands still costs the check in flight three seconds: no reason to rest twelve.
    made = house(check("a", 1), a=[{"value": 1}])
    made.run_for(1)
    made.session.took_s["a"] = 3.0
    made.answers["a"] = lost()
    made.run_for(2)
    assert made.count("check_errors_total", check="a", error="lost") == 1
    made.answers["a"] = [{"value": 1}]
    made.run_for(1.5)
    assert made.shown("a_things{")


def test_tries_to_connect_grow_apart_and_the_loop_still_beats(house: Build) -> None:
    made = house(check("a"))
    made.reachable = False
    made.run_for(120)
    assert max(made.pauses) <= 1.0
    assert made.beats >= 120
    assert made.poller._failures in range(10, 26)


def test_an_accepted_connection_that_never_answers_is_not_up(house: Build) -> None:
    made = house(check("a"), a=lost())
    made.run_for(120)
    assert not made.poller.status().up
    assert made.poller._failures in range(8, 26)


def test_a_dead_connection_between_slow_checks_is_noticed(house: Build) -> None:
    made = house(check("a", 3600), a=[{"value": 1}])
    made.run_for(1)
    assert made.count("database_up") == 1
    made.answers["SELECT 1"] = lost()
    made.reachable = False
    made.run_for(7)
    assert made.count("database_up") == 0
    assert not made.shown("a_things{")


def test_a_check_for_another_version_is_not_asked(house: Build) -> None:
    made = house(check("a", min_version=16), check("b"), b=[{"value": 1}])
    made.run_for(1)
    assert set(made.session.asked) == {"b"}


def test_only_the_clusters_first_database_is_asked_instance_checks(house: Build) -> None:
    made = house()
    second = Poller(
        DATABASE,
        Target("/nowhere", 5432, "shop", "m"),
        load_checks(Health()),
        exposition=made.exposition,
        metrics=made.metrics,
        observe=made.observed.append,
        live=LiveHealth([DATABASE], made.clock),
        clock=made.clock,
        beat=lambda: None,
        runs_instance_checks=False,
        connect_timeout_s=3,
        reconnect_max_s=15,
    )
    assert {c.scope for c in second._checks} == {"database"}
    assert "server" in {c.name for c in second._checks}


def test_stopping_is_fine_before_starting_and_twice_and_leaves_no_gauges(house: Build) -> None:
    made = house(check("a"), a=[{"value": 1}])
    made.poller.stop()
    made.poller.stop()
    assert made.count("database_up") is None


def taken_over(made: House, old: Poller) -> None:
    """The old poller is told to stop, and the next one shows its samples."""
    old.begin_stop()
    made.poller = made.another()
    made.run_for(1)
    assert made.shown("a_things{")


@pytest.mark.parametrize("error", [Unreachable("timeout expired"), RuntimeError("defect")])
def test_a_stopped_pollers_late_failure_takes_nothing_from_the_next_one(
    house: Build, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    old = made.poller

    def late(*_: Any, **__: Any) -> ScriptedSession:
        monkeypatch.setattr(poller_module, "open_session", made.open)
        taken_over(made, old)
        raise error

    monkeypatch.setattr(poller_module, "open_session", late)
    old._run()
    assert made.shown("a_things{")
    assert made.count("database_up") == 1
    assert all(seen.finding is None for seen in made.observed_of("unreachable"))


def test_a_stopped_poller_whose_query_is_cut_off_only_closes_its_session(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    made.run_for(1)
    old, session = made.poller, made.session
    taken_over(made, old)
    old._went_down("cut off")
    assert session.closed
    assert made.shown("a_things{")
    assert made.count("database_up") == 1


def test_what_is_told_when_stopping_began_is_not_shown_after(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    made.poller._shown._observe = lambda _: made.poller.begin_stop()
    made.run_for(0.005)
    made.poller._turn()
    assert not made.shown("a_things{")
    assert made.count("check_last_success_timestamp_seconds", check="a") is None


def test_stopping_again_takes_nothing_from_the_next_one(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    old = made.poller
    old.start()
    old.stop()
    assert made.count("database_up") is None
    taken_over(made, old)
    old.stop()
    assert made.shown("a_things{")
    assert made.count("database_up") == 1


def test_many_told_to_stop_hang_together_no_longer_than_one(
    house: Build, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = house(check("a"), a=[{"value": 7}])
    let_go = threading.Event()

    def hang(*_: Any, **__: Any) -> ScriptedSession:
        assert let_go.wait(10)
        raise Unreachable("timeout expired")

    monkeypatch.setattr(poller_module, "open_session", hang)
    waited: list[float | None] = []
    pollers = [made.another() for _ in range(3)]
    for poller in pollers:
        poller.start()
    threads = [poller._thread for poller in pollers]
    for poller in pollers:
        poller.begin_stop()
    assert all(thread and thread.is_alive() for thread in threads)

    def join(timeout: float | None = None) -> None:
        waited.append(timeout)
        clock.advance(timeout or 0.0)

    for thread in threads:
        assert thread
        with monkeypatch.context() as patched:
            patched.setattr(thread, "join", join)
            pollers[threads.index(thread)].stop()
    assert waited == [3.0, 0.0, 0.0]
    let_go.set()
    for thread in threads:
        assert thread
        thread.join(10)
        assert not thread.is_alive()
    assert made.count("database_up") is None


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("57014", "timeout"),
        ("55P03", "lock_timeout"),
        ("42P01", "class_42"),
    ],
)
def test_errors_have_bounded_names(sqlstate: str, kind: str) -> None:
    assert kind_of(sqlstate) == kind


class Deaf(Stream):
    def progress(self, fields: Mapping[str, Any]) -> None: ...

    def item(self, fields: Mapping[str, Any]) -> None: ...


def asked(made: House, **params: Any) -> Mapping[str, Any]:
    (method,) = build([made.poller])
    assert (method.name, method.role) == ("health", "viewer")
    return method.run(Call(params, Peer(1, "ola", frozenset({"viewer"})), Deaf()))


def test_the_method_tells_databases_checks_and_findings(house: Build) -> None:
    made = house(check("a", 1), a=[{"value": 7}])
    made.run_for(1.5)
    answer = asked(made, database="shop")
    (database,) = answer["databases"]
    assert (database["name"], database["up"], database["server_version"]) == ("shop", True, "15.18")
    assert database["checks"][0].keys() == {"name", "ok", "age_s", "duration_s", "error", "lacks"}
    assert answer["findings"][0]["summary"] == "7 things"


def test_the_method_refuses_an_unknown_database(house: Build) -> None:
    with pytest.raises(MethodError, match="try 'shop'") as caught:
        asked(house(), database="shpo")
    assert caught.value.code == "usage"
