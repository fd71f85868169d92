"""Alerting against a real HTTP receiver and a real state database: nothing lost, order kept."""

import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import event, select

from shippyard.alerting.journal import RETRY_FIRST_S
from shippyard.alerting.methods import build
from shippyard.alerting.routes import build_routes
from shippyard.alerting.service import Alerting
from shippyard.config.alerting import Alerting as AlertingConfig
from shippyard.config.alerting import Route
from shippyard.control.method import Call, MethodError, Peer
from shippyard.host.clock import SystemClock
from shippyard.host.pulse import Pulse
from shippyard.state.database import FILE_NAME, State, open_state
from shippyard.state.tables import deliveries, incidents
from shippyard.telemetry.metrics import Metrics


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any: ...


@dataclass(frozen=True)
class Finding:
    summary: str = "pid 42 blocks 3 sessions"
    evidence: Mapping[str, Any] = field(default_factory=lambda: {"roots": [{"pid": 42}]})


@dataclass(frozen=True)
class Observation:
    rule: str = "blocked"
    cluster: str = "main"
    database: str = "shippyar"
    severity: str = "page"
    for_s: float = 0.0
    finding: Finding | None = None
    parts: Mapping[str, Finding] = field(default_factory=dict)


CLEAR = Observation()
PRESENT = Observation(finding=Finding())


class MovableClock(SystemClock):
    """The machine's clock, which can be moved on."""

    def __init__(self) -> None:
        self._moved_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._moved_s)

    def monotonic(self) -> float:
        return super().monotonic() + self._moved_s

    def advance(self, seconds: float) -> None:
        self._moved_s += seconds


@dataclass(frozen=True)
class Arrived:
    at_s: float
    key: str
    body: dict[str, Any]

    @property
    def event(self) -> str:
        return str(self.body["event"])


Reply = tuple[int, dict[str, str]] | str
"""Status and headers; or "reset", "garbage", "silence"."""


class Receiver:
    """What stands where on-call would; replies as told, then 204."""

    def __init__(self, port: int = 0) -> None:
        self.arrived: list[Arrived] = []
        self.replies: list[Reply] = []
        self.on_arrival: Callable[[], None] = lambda: None
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = port
        self.open()

    @property
    def events(self) -> list[str]:
        return [one.event for one in self.arrived]

    def open(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _handler_of(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._released.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers["Content-Length"]))
        key = request.headers["Idempotency-Key"]
        self.arrived.append(Arrived(time.monotonic(), key, json.loads(raw)))
        self.on_arrival()
        self._reply(request, self.replies.pop(0) if self.replies else (204, {}))

    def _reply(self, request: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply == "reset":
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
        elif reply == "garbage":
            request.wfile.write(b"\x00\xff 5ECRET and not HTTP\r\n" * 100)
        elif reply == "silence":
            self._released.wait(20)
        else:
            assert isinstance(reply, tuple)
            status, headers = reply
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that went away is what some tests are about."""


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as open_:
        yield open_


class Lines:
    """What is logged, before anything is masked."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def say(event: str, **fields: Any) -> None:
            self.lines.append(f"{event} {level} {fields} {sys.exc_info()}")

        return say

    def count(self, event: str) -> int:
        return sum(line.startswith(f"{event} ") for line in self.lines)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Lines:
    lines = Lines()
    for room in ("journal", "outbox", "service"):
        monkeypatch.setattr(f"shippyard.alerting.{room}.log", lines)
    return lines


@pytest.fixture
def moving() -> MovableClock:
    return MovableClock()


@dataclass
class House:
    """Makes Alertings on one state, one after another, as restarts do."""

    state: State
    clock: MovableClock
    receiver: Receiver
    running: ExitStack
    metrics: Metrics = field(default_factory=Metrics)

    def alerting(
        self, watched: Collection[tuple[str, str]] | None = None, **changes: Any
    ) -> Alerting:
        route = Route(name="oncall", url=f"http://127.0.0.1:{self.receiver.port}/h", timeout_s=1.0)
        config = AlertingConfig(routes=(route,), retry_max_s=1.0).model_copy(update=changes)
        made = Alerting(
            config,
            environment="testing",
            state=self.state,
            metrics=self.metrics,
            clock=self.clock,
            pulse=Pulse(self.clock),
            routes=build_routes(config),
            watched=watched,
        )
        made.start()
        self.running.callback(made.stop)
        return made

    def rows(self) -> list[tuple[str, str]]:
        """Event and state of every delivery, in order."""
        with self.state.read() as connection:
            query = select(deliveries.c.event, deliveries.c.state).order_by(deliveries.c.id)
            return [(row[0], row[1]) for row in connection.execute(query)]

    def incident_states(self) -> list[str]:
        with self.state.read() as connection:
            query = select(incidents.c.state).order_by(incidents.c.id)
            return [row[0] for row in connection.execute(query)]

    def value(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"shippyard_alerting_{metric}", labels)


@pytest.fixture
def house(state: State, moving: MovableClock, receiver: Receiver) -> Iterator[House]:
    with ExitStack() as running:
        yield House(state, moving, receiver, running)


def test_a_page_goes_out_once_and_is_taken_back(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    begun_s = time.monotonic()
    for _ in range(5):
        alerting.observe(PRESENT)
    eventually(lambda: house.receiver.events == ["trigger"])
    assert house.receiver.arrived[0].at_s - begun_s < 1.0
    assert house.value("incidents", rule="blocked", state="firing") == 1

    ended_s = time.monotonic()
    alerting.observe(CLEAR)
    assert house.incident_states() == ["firing"]
    alerting.observe(CLEAR)
    eventually(lambda: house.rows() == [("trigger", "sent"), ("resolve", "sent")])
    trigger, resolve = house.receiver.arrived
    assert resolve.at_s - ended_s < 1.0
    assert resolve.body["incident"]["id"] == trigger.body["incident"]["id"]
    assert trigger.key == trigger.body["idempotency_key"] != resolve.key
    assert (trigger.body["incident"]["state"], resolve.body["incident"]["state"]) == (
        "firing",
        "resolved",
    )
    assert house.incident_states() == ["resolved"]
    assert house.value("incidents", rule="blocked", state="firing") == 0
    assert house.value("deliveries_total", route="oncall", outcome="sent") == 2
    assert house.value("outbox_messages", route="oncall") == 0
    assert house.value("outbox_dead_messages", route="oncall") == 0


def test_it_fires_after_its_time_and_a_blink_is_dropped(
    house: House, eventually: Eventually
) -> None:
    alerting, slow = house.alerting(), replace(PRESENT, for_s=10.0)
    alerting.observe(slow)
    assert house.incident_states() == ["pending"]
    alerting.observe(CLEAR)
    alerting.observe(CLEAR)
    assert house.incident_states() == ["dropped"]
    alerting.observe(slow)
    house.clock.advance(10)
    alerting.observe(slow)
    eventually(lambda: house.receiver.events == ["trigger"])
    assert house.incident_states() == ["dropped", "firing"]


def test_it_is_repeated_and_severity_chooses_the_route(
    house: House, eventually: Eventually
) -> None:
    alerting = house.alerting(repeat_s=60.0)
    alerting.observe(replace(PRESENT, rule="chatter", severity="info"))
    alerting.observe(PRESENT)
    house.clock.advance(61)
    alerting.observe(PRESENT)
    eventually(lambda: house.receiver.events == ["trigger", "repeat"])
    assert {one.body["incident"]["rule"] for one in house.receiver.arrived} == {"blocked"}


def test_a_receiver_that_was_down_gets_everything_in_order(
    house: House, eventually: Eventually
) -> None:
    house.receiver.close()
    alerting = house.alerting()
    for database in ("a", "b", "c"):
        alerting.observe(replace(PRESENT, database=database))
    for _ in range(2):
        alerting.observe(replace(CLEAR, database="b"))
    outcome = {"route": "oncall", "outcome": "unreachable"}
    eventually(lambda: house.value("deliveries_total", **outcome))
    assert house.value("outbox_messages", route="oncall") == 4
    house.receiver.open()
    eventually(lambda: len(house.receiver.arrived) == 4)
    told = [(one.event, one.body["incident"]["database"]) for one in house.receiver.arrived]
    assert told == [("trigger", "a"), ("trigger", "b"), ("trigger", "c"), ("resolve", "b")]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ((500, {}), "busy"),
        ((429, {"Retry-After": "0"}), "busy"),
        ((302, {"Location": "http://127.0.0.1:1/"}), "refused"),
        ((401, {}), "refused"),
        ((422, {}), "rejected"),
        ("reset", "unreachable"),
        ("garbage", "unreachable"),
        ("silence", "unreachable"),
    ],
)
def test_what_goes_wrong_is_tried_again_under_the_same_key(
    house: House, eventually: Eventually, reply: Reply, outcome: str
) -> None:
    house.receiver.replies = [reply]
    alerting = house.alerting()
    alerting.observe(PRESENT)
    alerting.observe(replace(PRESENT, database="other"))
    eventually(lambda: house.rows() == [("trigger", "sent"), ("trigger", "sent")])
    first, second, other = house.receiver.arrived
    assert first.key == second.key != other.key
    assert house.value("deliveries_total", route="oncall", outcome=outcome) == 1


def test_retry_after_is_kept(house: House, eventually: Eventually) -> None:
    house.receiver.replies = [(503, {"Retry-After": "2"})]
    house.alerting(retry_max_s=30.0).observe(PRESENT)
    eventually(lambda: len(house.receiver.arrived) == 2)
    first, second = house.receiver.arrived
    assert 2.0 <= second.at_s - first.at_s < 3.5


def test_a_trickle_is_cut_at_the_deadline(house: House, eventually: Eventually) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                while not stop.wait(0.1):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        route = Route(name="oncall", url=url, timeout_s=0.5)
        begun_s = time.monotonic()
        house.alerting(routes=(route,)).observe(PRESENT)
        outcome = {"route": "oncall", "outcome": "unreachable"}
        eventually(lambda: house.value("deliveries_total", **outcome))
        assert time.monotonic() - begun_s < 2.0
        stop.set()
        thread.join(2)


def test_a_dead_trigger_has_no_resolve_and_the_dead_route_is_an_incident(
    house: House, eventually: Eventually
) -> None:
    house.receiver.replies = [(500, {}), (500, {})]
    alerting = house.alerting(attempts_max=2)
    alerting.observe(PRESENT)
    eventually(lambda: ("trigger", "dead") in house.rows())
    alerting.observe(CLEAR)
    alerting.observe(CLEAR)
    eventually(lambda: "delivery_dead" in _rules(house.receiver))
    eventually(lambda: house.receiver.events[-1] == "resolve")
    told = [(one.event, one.body["incident"]["rule"]) for one in house.receiver.arrived]
    assert told == [
        ("trigger", "blocked"),
        ("trigger", "blocked"),
        ("trigger", "delivery_dead"),
        ("resolve", "delivery_dead"),
    ]
    assert ("resolve", "dead") in house.rows()
    eventually(lambda: house.value("outbox_dead_messages", route="oncall") == 2)


def _rules(receiver: Receiver) -> set[str]:
    return {one.body["incident"]["rule"] for one in receiver.arrived}


def test_a_restart_loses_nothing_and_pages_nobody_twice(
    house: House, eventually: Eventually
) -> None:
    first = house.alerting()
    first.observe(PRESENT)
    eventually(lambda: house.rows() == [("trigger", "sent")])
    first.stop()

    second = house.alerting()
    second.observe(PRESENT)
    assert house.incident_states() == ["firing"]
    second.observe(CLEAR)
    second.stop()

    third = house.alerting()  # a clear look of before the restart does not count
    third.observe(CLEAR)
    assert house.incident_states() == ["firing"]
    third.observe(CLEAR)
    eventually(lambda: house.receiver.events == ["trigger", "resolve"])


def test_what_nobody_watches_any_more_is_ended_at_start(
    house: House, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A message that arrives would end `delivery_dead` of its route by and by.
    monkeypatch.setattr("shippyard.alerting.service.TICK_S", 60.0)
    first = house.alerting()
    first.observe(PRESENT)
    first.observe(replace(PRESENT, database="gone"))
    first.observe(replace(PRESENT, cluster="retired"))
    first.observe(replace(PRESENT, database="gone", rule="slow", for_s=60.0))
    for route in ("oncall", "former"):
        own = replace(PRESENT, rule="delivery_dead", cluster="shippyard", database=route)
        first.observe(own)
    eventually(lambda: house.receiver.events == ["trigger"] * 5)
    first.stop()

    house.alerting().stop()  # it is not told who is watched: all stays
    second = house.alerting(watched=[("main", "shippyar")])
    eventually(lambda: house.receiver.events[5:] == ["resolve"] * 3)
    ended = [one.body["incident"] for one in house.receiver.arrived[5:]]
    assert {(one["rule"], one["cluster"], one["database"]) for one in ended} == {
        ("blocked", "main", "gone"),
        ("blocked", "retired", "shippyar"),
        ("delivery_dead", "shippyard", "former"),
    }
    left = {(one["rule"], one["database"], one["state"]) for one in second.incidents()}
    assert left == {("blocked", "shippyar", "firing"), ("delivery_dead", "oncall", "firing")}
    assert house.incident_states().count("dropped") == 1


def test_a_restart_does_not_put_off_the_repeat_nor_hasten_it(
    house: House, eventually: Eventually
) -> None:
    first = house.alerting(repeat_s=60.0)
    first.observe(PRESENT)
    first.stop()
    house.clock.advance(30)
    second = house.alerting(repeat_s=60.0)
    second.observe(PRESENT)
    assert [event for event, _ in house.rows()] == ["trigger"]
    house.clock.advance(31)
    second.observe(PRESENT)
    eventually(lambda: house.receiver.events == ["trigger", "repeat"])


def test_a_restart_in_the_middle_keeps_the_order(house: House, eventually: Eventually) -> None:
    house.receiver.close()
    first = house.alerting()
    first.observe(PRESENT)
    first.observe(replace(PRESENT, database="other"))
    eventually(lambda: house.rows()[0] == ("trigger", "retrying"))
    first.stop()

    second = house.alerting()
    second.observe(CLEAR)
    second.observe(CLEAR)
    house.receiver.open()
    eventually(lambda: [state for _, state in house.rows()] == ["sent"] * 3)
    told = [(one.event, one.body["incident"]["database"]) for one in house.receiver.arrived]
    assert told == [("trigger", "shippyar"), ("trigger", "other"), ("resolve", "shippyar")]


def test_a_dead_trigger_is_remembered_over_a_restart(house: House, eventually: Eventually) -> None:
    house.receiver.replies = [(500, {})]
    first = house.alerting(attempts_max=1)
    first.observe(PRESENT)
    eventually(lambda: house.rows() == [("trigger", "dead")])
    first.stop()
    second = house.alerting()
    assert house.value("outbox_dead_messages", route="oncall") == 1
    second.observe(CLEAR)
    second.observe(CLEAR)
    eventually(lambda: house.rows() == [("trigger", "dead"), ("resolve", "dead")])
    assert house.receiver.events == ["trigger"]


def test_the_absence_of_the_daemon_does_not_make_a_blink_a_page(house: House) -> None:
    slow = replace(PRESENT, for_s=10.0)
    first = house.alerting()
    first.observe(slow)
    first.stop()
    house.clock.advance(3600)
    second = house.alerting()
    second.observe(slow)
    assert house.incident_states() == ["pending"]


def test_messages_to_a_route_that_is_gone_are_given_up(
    house: House, eventually: Eventually
) -> None:
    house.receiver.close()
    first = house.alerting()
    first.observe(PRESENT)
    eventually(lambda: house.rows() == [("trigger", "retrying")])
    first.stop()
    house.alerting(routes=())
    assert house.rows() == [("trigger", "dead")]


def test_two_daemons_on_one_state_send_once(house: House, eventually: Eventually) -> None:
    """As while a new daemon starts before the old one has ended."""
    house.receiver.close()
    first = house.alerting()
    first.observe(PRESENT)
    eventually(lambda: house.rows() == [("trigger", "retrying")])
    second = house.alerting()
    house.receiver.open()
    eventually(lambda: house.rows() == [("trigger", "sent")])
    eventually(lambda: not _queued(first) and not _queued(second))
    assert len(house.receiver.arrived) == 1


def _queued(alerting: Alerting) -> int:
    return len(alerting._outbox._lanes["oncall"]._queue)


KILLED = textwrap.dedent(
    """
    import sys, time
    from dataclasses import dataclass
    from pathlib import Path
    from types import SimpleNamespace
    from shippyard.alerting.routes import build_routes
    from shippyard.alerting.service import Alerting
    from shippyard.config.alerting import Alerting as Config, Route
    from shippyard.host.clock import SystemClock
    from shippyard.host.pulse import Pulse
    from shippyard.state.database import open_state
    from shippyard.telemetry.metrics import Metrics

    config = Config(routes=(Route(name="oncall", url=sys.argv[2], timeout_s=1.0),))
    clock = SystemClock()
    seen = SimpleNamespace(rule="blocked", cluster="main", database="shippyar", severity="page",
                           for_s=0.0, finding=SimpleNamespace(summary="s", evidence={}), parts={})
    with open_state(Path(sys.argv[1])) as state:
        alerting = Alerting(config, environment="testing", state=state, metrics=Metrics(),
                            clock=clock, pulse=Pulse(clock), routes=build_routes(config))
        alerting.start()
        alerting.observe(seen)
        time.sleep(60)
    """
)


def test_killed_between_sending_and_recording_it_sends_once_more_under_the_same_key(
    tmp_path: Path, receiver: Receiver, moving: MovableClock, eventually: Eventually
) -> None:
    folder = tmp_path / "killed"
    url = f"http://127.0.0.1:{receiver.port}/h"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(folder), url]) as child:
        receiver.on_arrival = lambda: os.kill(child.pid, signal.SIGKILL)
        child.wait(20)
    assert receiver.events == ["trigger"]
    receiver.on_arrival = lambda: None
    with open_state(folder) as state, ExitStack() as running:
        house = House(state, moving, receiver, running)
        assert house.rows() == [("trigger", "queued")]
        alerting = house.alerting()
        alerting.observe(PRESENT)
        alerting.observe(CLEAR)
        alerting.observe(CLEAR)
        eventually(lambda: len(receiver.arrived) == 3)
    assert receiver.events == ["trigger", "trigger", "resolve"]
    assert receiver.arrived[0].key == receiver.arrived[1].key


REFUSE = "SELECT RAISE(FAIL, 'database or disk is full')"


def refuse_writing(state: State) -> None:
    """Make SQLite itself refuse every change of the two tables."""
    with state.write() as connection:
        for table in ("incidents", "deliveries"):
            for verb in ("INSERT", "UPDATE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER no_{verb}_{table} BEFORE {verb} ON {table} BEGIN {REFUSE}; END"
                )


def allow_writing(state: State) -> None:
    with state.write() as connection:
        for table in ("incidents", "deliveries"):
            for verb in ("INSERT", "UPDATE"):
                connection.exec_driver_sql(f"DROP TRIGGER no_{verb}_{table}")


def test_pages_go_out_while_the_state_cannot_be_written(
    house: House, eventually: Eventually, logged: Lines
) -> None:
    alerting = house.alerting()
    alerting.observe(replace(PRESENT, database="known"))
    eventually(lambda: house.rows() == [("trigger", "sent")])
    refuse_writing(house.state)
    house.receiver.replies = [(500, {})]

    for _ in range(3):
        alerting.observe(PRESENT)
    eventually(lambda: house.receiver.events == ["trigger"] * 3)
    assert house.receiver.arrived[1].key == house.receiver.arrived[2].key
    for database in ("shippyar", "known"):
        for _ in range(2):
            alerting.observe(replace(CLEAR, database=database))
    alerting.observe(replace(PRESENT, database="late"))
    eventually(lambda: len(house.receiver.arrived) == 6)
    house.clock.advance(10)
    eventually(lambda: alerting._journal._pause_s > RETRY_FIRST_S)  # tried again, in vain
    assert logged.count("alerting.state_unwritable") == 1
    assert house.receiver.events[3:] == ["resolve", "resolve", "trigger"]
    assert house.rows() == [("trigger", "sent")]

    allow_writing(house.state)
    house.clock.advance(60)
    eventually(lambda: len(house.rows()) == 5)
    assert {state for _, state in house.rows()} == {"sent"}
    assert sorted(house.incident_states()) == ["firing", "resolved", "resolved"]
    assert house.value("outbox_messages", route="oncall") == 0
    assert len(house.receiver.arrived) == 6


def test_what_waited_in_memory_survives_once_the_state_is_back(
    house: House, eventually: Eventually
) -> None:
    house.receiver.close()
    first = house.alerting()
    refuse_writing(house.state)
    first.observe(PRESENT)
    allow_writing(house.state)
    house.clock.advance(60)
    eventually(lambda: house.rows() == [("trigger", "retrying")])
    first.stop()
    house.receiver.open()
    house.alerting()
    eventually(lambda: house.rows() == [("trigger", "sent")])
    assert set(house.receiver.events) == {"trigger"}


def test_a_disk_that_is_full_stops_no_page(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()

    def no_more_pages(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")

    event.listen(house.state._engine, "connect", no_more_pages)
    house.state._engine.dispose()
    large = Finding(evidence={"query": "x" * 15_000, "other": "y" * 15_000})
    alerting.observe(replace(PRESENT, finding=large))
    eventually(lambda: house.receiver.events == ["trigger"])
    assert house.incident_states() == []


def test_a_state_locked_by_another_stops_no_page(
    tmp_path: Path, house: House, eventually: Eventually
) -> None:
    alerting = house.alerting()
    with closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        alerting.observe(PRESENT)
        eventually(lambda: house.receiver.events == ["trigger"])
        other.rollback()


def test_observe_raises_for_nobody(house: House) -> None:
    alerting = house.alerting()

    class Broken:
        rule = "blocked"

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    alerting.observe(Broken())


def test_many_threads_make_one_page(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    pollers = [threading.Thread(target=alerting.observe, args=(PRESENT,)) for _ in range(20)]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join(10)
    eventually(lambda: house.rows() == [("trigger", "sent")])
    assert house.receiver.events == ["trigger"]


def test_a_full_queue_stays_bounded(
    house: House, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shippyard.alerting.outbox.QUEUE_MAX", 3)
    house.receiver.close()
    alerting = house.alerting(repeat_s=60.0)
    for _ in range(5):
        alerting.observe(PRESENT)
        house.clock.advance(61)
    eventually(lambda: house.value("deliveries_total", route="oncall", outcome="dropped") == 2)
    assert house.value("outbox_messages", route="oncall") == 3
    house.receiver.open()
    eventually(lambda: house.receiver.events == ["trigger", "repeat", "repeat"])


def test_stop_is_quick_and_safe_at_any_time(
    house: House, receiver: Receiver, eventually: Eventually
) -> None:
    config = AlertingConfig()
    Alerting(
        config,
        environment="testing",
        state=house.state,
        metrics=Metrics(),
        clock=house.clock,
        pulse=Pulse(house.clock),
        routes=(),
    ).stop()
    receiver.replies = ["silence"]
    route = Route(name="oncall", url=f"http://127.0.0.1:{receiver.port}/h", timeout_s=30.0)
    alerting = house.alerting(routes=(route,))
    alerting.observe(PRESENT)
    eventually(lambda: receiver.arrived)
    begun_s = time.monotonic()
    alerting.stop()
    alerting.stop()
    assert time.monotonic() - begun_s < 3.0


def test_what_is_long_over_is_forgotten(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    for look in (PRESENT, CLEAR, CLEAR, replace(PRESENT, for_s=10.0), CLEAR, CLEAR, PRESENT):
        alerting.observe(look)
    eventually(lambda: len(house.receiver.arrived) == 3)
    assert house.incident_states() == ["resolved", "dropped", "firing"]
    house.clock.advance(2 * 86_400)
    eventually(lambda: house.incident_states() == ["resolved", "firing"])
    house.clock.advance(90 * 86_400)
    eventually(lambda: house.incident_states() == ["firing"])


def test_what_owes_a_message_is_not_forgotten(house: House, eventually: Eventually) -> None:
    house.receiver.close()
    alerting = house.alerting()
    for look in (PRESENT, CLEAR, CLEAR):
        alerting.observe(look)
    house.clock.advance(100 * 86_400)
    alerting._prune()
    assert house.incident_states() == ["resolved"]
    house.receiver.open()
    eventually(lambda: house.receiver.events == ["trigger", "resolve"])


def _call(**params: Any) -> Call:
    class Quiet:
        def progress(self, fields: Any) -> None: ...

        def item(self, fields: Any) -> None: ...

    return Call(params, Peer(1000, "ann", frozenset({"viewer"})), Quiet())


class Noted:
    """Stands for the audit."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        self.lines.append((actor, action, subject))
        return f"{len(detail)}"


def test_alerts_says_what_is_wrong_and_who_was_told(house: House, eventually: Eventually) -> None:
    alerting = house.alerting()
    method = build(alerting, Noted())[0]
    assert (method.name, method.role) == ("alerts", "viewer")
    alerting.observe(PRESENT)
    alerting.observe(replace(PRESENT, database="other"))
    eventually(lambda: len(house.rows()) == 2 and house.rows()[1][1] == "sent")
    for _ in range(2):
        alerting.observe(CLEAR)
    eventually(lambda: house.rows()[-1] == ("resolve", "sent"))

    (shown,) = method.run(_call())["incidents"]
    assert shown["database"] == "other"
    assert shown["evidence"] == {"roots": [{"pid": 42}]}
    sent = {"route": "oncall", "state": "sent", "attempts": 1, "error": None}
    (told,) = shown["deliveries"]
    assert told.pop("at")
    assert told == {"event": "trigger", **sent}

    shown, ended = method.run(_call(all=True))["incidents"]
    assert (ended["database"], ended["state"]) == ("shippyar", "resolved")
    assert [one["event"] for one in ended["deliveries"]] == ["trigger", "resolve"]
    with pytest.raises(MethodError, match="'all' must be"):
        method.run(_call(all="yes"))


def test_the_url_and_the_answer_are_in_no_log(
    house: House, eventually: Eventually, logged: Lines
) -> None:
    house.receiver.replies = [(500, {"X-Leak": "ANSWER-5ECRET"}), "garbage"]
    url = f"http://127.0.0.1:{house.receiver.port}/T0KEN-5ECRET"
    route = Route(name="oncall", url=url, timeout_s=1.0)
    house.alerting(routes=(route,)).observe(PRESENT)
    eventually(lambda: house.rows() == [("trigger", "sent")])
    assert logged.count("delivery.retrying") == 2
    assert "'answer': 'BadStatusLine'" in str(logged.lines[-2])
    assert "5ECRET" not in str(logged.lines)
    with house.state.read() as connection:
        assert "5ECRET" not in str(connection.execute(select(deliveries)).all())
