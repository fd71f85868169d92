"""What people do about pages, on a real state database: taking on, silencing, trying a route."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest
from sqlalchemy import update

from shippyard.alerting.delivery import Answer
from shippyard.alerting.ledger import LedgerUnavailable
from shippyard.alerting.methods import build
from shippyard.alerting.service import ANY, Alerting
from shippyard.config.alerting import Alerting as AlertingConfig
from shippyard.config.alerting import Route
from shippyard.control.method import Call, MethodError, Peer
from shippyard.host.clock import SystemClock
from shippyard.host.pulse import Pulse
from shippyard.state.database import State
from shippyard.state.tables import silences
from shippyard.telemetry.metrics import Metrics


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any: ...


@dataclass(frozen=True)
class Finding:
    summary: str = "slot standby keeps WAL"
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    rule: str = "slot_retains_wal"
    cluster: str = "main"
    database: str = "shop"
    severity: str = "page"
    for_s: float = 0.0
    finding: Finding | None = field(default_factory=Finding)
    parts: Mapping[str, Finding] = field(default_factory=dict)


PRESENT = Observation()
CLEAR = Observation(finding=None)


class Kept:
    """A route that keeps what it is given."""

    name = "oncall"
    timeout_s = 1.0

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []
        self.answer = Answer("sent", "HTTP 202")

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(m["event"], m["incident"]["subject"]) for m in self.messages]

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        assert now
        self.messages.append(message)
        return self.answer


class MovableClock(SystemClock):
    """The machine's clock, which can be moved on."""

    def __init__(self) -> None:
        self.moved_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.moved_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.moved_s


class Noted:
    """Stands for the audit."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        self.lines.append((actor, action))
        return f"{subject}{len(detail)}"


@dataclass
class House:
    """Alertings on one state, one after another, as restarts make them."""

    state: State
    running: ExitStack
    clock: MovableClock = field(default_factory=MovableClock)
    route: Kept = field(default_factory=Kept)
    noted: Noted = field(default_factory=Noted)
    metrics: Metrics = field(default_factory=Metrics)

    def alerting(self, watched: Any = None, **changes: Any) -> Alerting:
        config = AlertingConfig(routes=(Route(name="oncall", url="http://127.0.0.1/"),))
        made = Alerting(
            config.model_copy(update=changes),
            environment="testing",
            state=self.state,
            metrics=self.metrics,
            clock=self.clock,
            pulse=Pulse(self.clock),
            routes=[self.route],
            watched=watched,
        )
        made.start()
        self.running.callback(made.stop)
        return made

    def call(self, alerting: Alerting, method: str, **params: Any) -> dict[str, Any]:
        class Quiet:
            def progress(self, fields: Any) -> None: ...

            def item(self, fields: Any) -> None: ...

        found = next(each for each in build(alerting, self.noted) if each.name == method)
        return dict(found.run(Call(params, Peer(1000, "olga", frozenset({"operator"})), Quiet())))


@pytest.fixture
def house(state: State) -> Iterator[House]:
    with ExitStack() as running:
        yield House(state, running)


def silence(house: House, alerting: Alerting, **match: str) -> str:
    made = house.call(alerting, "alerts.silence", match=match, for_s=3600, why="known")
    return str(made["silence"]["id"])


def test_what_is_silenced_is_recorded_and_told_when_it_is_over(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting()
    id_ = silence(house, alerting, rule="slot_*", database="shop")
    alerting.observe(PRESENT)
    (shown,) = alerting.incidents()
    assert (shown["state"], shown["silenced_by"]) == ("firing", id_)
    assert house.metrics.registry.get_sample_value("shippyard_alerting_silenced_incidents") == 1
    assert house.route.messages == []
    house.call(alerting, "alerts.unsilence", id=id_)
    alerting.observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", "")])
    assert [action for _, action in house.noted.lines] == ["alert.silence", "alert.unsilence"]


def test_a_silence_outlives_a_restart_and_ends_by_the_clock(
    house: House, eventually: Eventually
) -> None:
    first = house.alerting()
    silence(house, first, rule="slot_retains_wal")
    first.stop()
    second = house.alerting()
    second.observe(PRESENT)
    assert house.route.messages == []
    house.clock.moved_s += 3601
    second.observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", "")])


def test_work_under_way_silences_what_it_causes_and_no_more(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting()
    alerting.expect(lambda facts: "a migration run" if facts["rule"] == "invalid_index" else None)
    alerting.observe(replace(PRESENT, rule="invalid_index"))
    alerting.observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", "")])
    alerting.expect(lambda _: None)
    alerting.observe(replace(PRESENT, rule="invalid_index"))
    eventually(lambda: len(house.route.messages) == 2)


def test_what_is_taken_on_is_told_to_those_who_know_and_not_repeated(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting(repeat_s=60.0)
    alerting.observe(PRESENT)
    id_ = alerting.incidents()[0]["id"]
    answer = house.call(alerting, "alerts.ack", id=id_[:6], why="looking")
    assert (answer["incident"]["acked_by"], answer["incident"]["ack_note"]) == ("olga", "looking")
    eventually(lambda: house.route.events == [("trigger", ""), ("acknowledge", "")])
    alerting.stop()
    again = house.alerting(repeat_s=60.0)
    house.clock.moved_s += 61
    again.observe(PRESENT)
    assert again.incidents()[0]["acked_by"] == "olga"
    again.observe(CLEAR)
    again.observe(CLEAR)
    eventually(lambda: [event for event, _ in house.route.events][2:] == ["resolve"])


def test_each_slot_has_its_own_page_and_end(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    alerting.observe(replace(PRESENT, parts={"a": Finding("a"), "b": Finding("b")}))
    eventually(lambda: house.route.events == [("trigger", "a"), ("trigger", "b")])
    for _ in range(2):
        alerting.observe(replace(PRESENT, parts={"b": Finding("b")}))
    eventually(lambda: house.route.events[2:] == [("resolve", "a")])


def test_a_thousand_slots_are_one_page(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    many = {f"slot{n}": Finding(f"{n}") for n in range(1000)}
    for _ in range(3):
        alerting.observe(replace(PRESENT, parts=many))
    eventually(lambda: house.route.events == [("trigger", "")])
    assert len(alerting.incidents()) == 1


def test_many_that_become_few_stay_one_until_all_are_well(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting()
    slots = {f"s{n}": Finding(f"{n}") for n in range(6)}
    alerting.observe(replace(PRESENT, parts=slots))
    fewer = {name: slots[name] for name in list(slots)[:2]}
    for _ in range(3):
        alerting.observe(replace(PRESENT, parts=fewer))
    assert [i["subject"] for i in alerting.incidents()] == [""]
    alerting.observe(CLEAR)
    alerting.observe(CLEAR)
    eventually(lambda: house.route.events == [("trigger", ""), ("resolve", "")])


def test_what_got_worse_under_a_silence_is_told_when_it_ends(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting()
    alerting.observe(replace(PRESENT, severity="ticket"))
    id_ = silence(house, alerting, rule="slot_*")
    alerting.observe(PRESENT)
    house.call(alerting, "alerts.unsilence", id=id_)
    alerting.observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", ""), ("repeat", "")])
    assert house.route.messages[1]["incident"]["severity"] == "page"


def test_half_a_character_stops_no_page(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    alerting.observe(PRESENT)
    with pytest.raises(MethodError, match="no character"):
        house.call(alerting, "alerts.ack", id=alerting.incidents()[0]["id"], why="k\udcf6nnte")
    alerting.observe(replace(PRESENT, rule="other", finding=Finding("a \udcf6 b", {"q": "\udcf6"})))
    eventually(lambda: len(house.route.messages) == 2)
    assert house.route.messages[1]["incident"]["summary"] == "a ? b"


def test_a_page_of_an_earlier_daemon_is_taken_back_though_it_was_unreadable_at_first(
    house: House, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.alerting()
    first.observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", "")])
    first.stop()

    def unreadable(*_: Any) -> None:
        raise LedgerUnavailable("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr("shippyard.alerting.ledger.Ledger.load", unreadable)
        second = house.alerting()
    second.observe(PRESENT)
    eventually(lambda: house.route.events[1:] == [("trigger", "")])
    house.clock.moved_s += 11
    eventually(lambda: house.route.events[2:] == [("resolve", "")])
    told = [m["incident"]["id"] for m in house.route.messages]
    assert told[2] == told[0] != told[1]
    assert [i["id"] for i in second.incidents()] == [told[1]]


def test_a_silence_that_makes_no_sense_silences_nothing(
    house: House, eventually: Eventually
) -> None:
    first = house.alerting()
    silence(house, first, rule="*")
    first.stop()
    with house.state.write() as connection:
        connection.execute(update(silences).values(match=["*"]))
    house.alerting().observe(PRESENT)
    eventually(lambda: house.route.events == [("trigger", "")])


def test_what_is_visited_is_watched(house: House, eventually: Eventually) -> None:
    first = house.alerting()
    first.observe(replace(PRESENT, database="visited"))
    eventually(lambda: len(house.route.messages) == 1)
    first.stop()
    second = house.alerting(watched={("main", ANY)})
    assert [i["database"] for i in second.incidents()] == ["visited"]
    assert len(house.route.messages) == 1


def test_a_route_is_tried_and_its_answer_said(house: House) -> None:
    alerting = house.alerting()
    answer = house.call(alerting, "alerts.test", route="oncall")
    assert [(a["event"], a["taken"], a["answer"]) for a in answer["answers"]] == [
        ("trigger", True, "HTTP 202"),
        ("resolve", True, "HTTP 202"),
    ]
    assert all("TEST" in m["incident"]["summary"] for m in house.route.messages)
    assert alerting.incidents(with_ended=True) == []
    with pytest.raises(MethodError, match=r"no route 'chat'.*it has: oncall"):
        house.call(alerting, "alerts.test", route="chat")


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("alerts.ack", {"id": "nothing"}, "no incident fires"),
        ("alerts.silence", {"match": {}, "for_s": 60, "why": "x"}, "say what to silence"),
        ("alerts.silence", {"match": {"pid": "1"}, "for_s": 60, "why": "x"}, "can't go by 'pid'"),
        ("alerts.silence", {"match": {"rule": "x"}, "for_s": 1e9, "why": "x"}, "30 days"),
        ("alerts.silence", {"match": {"rule": "x"}, "for_s": 60, "why": " "}, "say 'why'"),
        ("alerts.unsilence", {"id": "zz"}, "no silence 'zz'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    house: House, method: str, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(MethodError, match=said):
        house.call(house.alerting(), method, **params)
    assert house.noted.lines == []
