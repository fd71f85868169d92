"""Every route against a receiver of its kind: real Alertmanager, real SMTP server, real HTTP."""

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiosmtpd.controller import Controller

from shippyard.alerting.delivery import Route as BuiltRoute
from shippyard.alerting.heartbeat import Heartbeat, switches
from shippyard.alerting.mirror import Forgetful, Mirror
from shippyard.alerting.routes import build_routes
from shippyard.config.alerting import Alerting, Mail, Route
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.pulse import Pulse
from shippyard.telemetry.metrics import Metrics

ALERTMANAGER = "prometheus-alertmanager"
CONFIG = """
route: {receiver: none}
receivers: [{name: none}]
"""


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any: ...


class Http:
    """Keeps what is posted, and answers as told."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 202
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.path, dict(self.headers), body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def http() -> Iterator[Http]:
    with closing(Http()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "key").write_text("K3Y-0123456789")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def built(**given: Any) -> BuiltRoute:
    (made,) = build_routes(Alerting(routes=(Route(name="r", timeout_s=2.0, **given),)))
    return made


def message(event: str = "trigger", rule: str = "blocked") -> dict[str, Any]:
    now = datetime.now(UTC)
    over = now.isoformat() if event == "resolve" else None
    return {
        "version": 1,
        "event": event,
        "idempotency_key": f"{rule}.{event}",
        "environment": "testing",
        "incident": {
            "key": "k",
            "id": f"{rule}-1",
            "rule": rule,
            "cluster": "main",
            "database": "shop",
            "subject": "",
            "severity": "page",
            "state": "resolved" if over else "firing",
            "summary": "3 blocked",
            "since": (now - timedelta(minutes=1)).isoformat(),
            "firing_at": now.isoformat(),
            "resolved_at": over,
            "acked_at": None,
            "acked_by": None,
            "ack_note": None,
            "action": "SELECT pg_cancel_backend(42)",
            "evidence": {"roots": [{"pid": 42}]},
            "runbook": "docs/runbooks.md#blocked",
        },
    }


def sent(route: BuiltRoute, event: str = "trigger") -> str:
    return route.send(message(event), datetime.now(UTC)).kind


@pytest.mark.parametrize(
    ("given", "path", "word"),
    [
        ({"kind": "webhook"}, "/x", '"event": "trigger"'),
        ({"kind": "slack"}, "/x", "attachments"),
        ({"kind": "pagerduty", "key_credential": "key"}, "/x/v2/enqueue", "dedup_key"),
        ({"kind": "alertmanager"}, "/x/api/v2/alerts", "ShippyardBlockedSessions"),
    ],
)
def test_a_post_arrives_where_the_kind_wants_it(
    http: Http, given: dict[str, Any], path: str, word: str
) -> None:
    assert sent(built(url=f"{http.url}/x", **given)) == "sent"
    (post,) = http.posts
    assert post[0] == path
    assert word in post[2].decode()
    assert post[1]["Content-Type"] == "application/json"
    http.status = 503
    assert sent(built(url=f"{http.url}/x", **given)) == "busy"


def test_a_proxy_is_told_the_whole_address(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    route = built(kind="slack", url="http://slack.invalid/T0", proxy=http.url)
    assert sent(route) == "sent"
    assert http.posts[0][0] == "http://slack.invalid/T0"
    monkeypatch.setenv("http_proxy", http.url)
    assert sent(built(kind="slack", url="http://slack.invalid/T1")) == "sent"
    assert http.posts[1][0] == "http://slack.invalid/T1"
    monkeypatch.setenv("no_proxy", "slack.invalid")
    assert sent(built(kind="slack", url="http://slack.invalid/T2")) == "unreachable"


def test_one_peer_that_takes_it_is_enough(http: Http) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert sent(built(kind="alertmanager", url=nobody, peers=(http.url,))) == "sent"
    assert sent(built(kind="alertmanager", url=nobody)) == "unreachable"
    assert sent(built(kind="alertmanager", url=nobody), "acknowledge") == "sent"


def test_apprise_reaches_what_it_has_a_url_for(http: Http) -> None:
    url = http.url.replace("http://", "json://")
    assert sent(built(kind="apprise", url=f"{url}/x")) == "sent"
    assert json.loads(http.posts[0][2])["title"] == "[FIRING page] blocked on shop"
    http.status = 500
    assert sent(built(kind="apprise", url=f"{url}/x")) == "unreachable"


class Mailbox:
    """What an SMTP server hands on; refuses recipients as told."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.reply = "250 OK"

    async def handle_DATA(  # noqa: N802  the library calls it so
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        if self.reply.startswith("250"):
            self.taken.append(envelope.content)
        return self.reply


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    handler = Mailbox()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()


def mail_route(port: int) -> BuiltRoute:
    mail = Mail(
        host="127.0.0.1",
        port=port,
        encryption="none",
        sender="shippyard@example.org",
        recipients=("oncall@example.org",),
    )
    return built(kind="email", mail=mail)


def test_mail_is_taken_put_off_and_refused(mailbox: tuple[Mailbox, int]) -> None:
    handler, port = mailbox
    assert sent(mail_route(port)) == "sent"
    assert b"Subject: [FIRING page] blocked on shop" in handler.taken[0]
    assert b"pg_cancel_backend(42)" in handler.taken[0]
    handler.reply = "451 try later"
    assert sent(mail_route(port)) == "busy"
    handler.reply = "554 no"
    assert sent(mail_route(port)) == "refused"
    assert sent(mail_route(free_port())) == "unreachable"


def test_a_mail_server_that_says_nothing_is_left_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        begun = time.monotonic()
        assert sent(mail_route(silent.getsockname()[1])) == "unreachable"
        # Not a performance claim: without the cut it would wait for ever.
        assert time.monotonic() - begun < 10


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


@contextmanager
def alertmanager(folder: Path, port: int, processes: Processes) -> Iterator[None]:
    folder.mkdir(parents=True)
    (folder / "am.yml").write_text(CONFIG)
    argv = [
        ALERTMANAGER,
        f"--config.file={folder / 'am.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with processes.start(argv):
        yield


def alerts_at(port: int) -> list[dict[str, Any]] | None:
    link = HTTPConnection("127.0.0.1", port, timeout=2)
    with closing(link):
        try:
            link.request("GET", "/api/v2/alerts")
            return list(json.loads(link.getresponse().read()))
        except (OSError, ValueError):
            return None


def names_at(port: int) -> list[str] | None:
    alerts = alerts_at(port)
    return None if alerts is None else [each["labels"]["alertname"] for each in alerts]


@pytest.mark.skipif(
    not shutil.which(ALERTMANAGER), reason="apt-get install prometheus-alertmanager"
)
def test_an_alertmanager_that_forgot_all_is_told_again(
    tmp_path: Path, processes: Processes, eventually: Eventually
) -> None:
    port = free_port()
    route = built(kind="alertmanager", url=f"http://127.0.0.1:{port}")
    assert isinstance(route, Forgetful)
    clock = SystemClock()
    holds: list[Mapping[str, Any]] = [message(), message(rule="wraparound_near")]
    with alertmanager(tmp_path / "first", port, processes):
        eventually(lambda: alerts_at(port) is not None)
        assert [route.send(each, clock.now()).kind for each in holds] == ["sent", "sent"]
        eventually(lambda: len(names_at(port) or ()) == 2)
        route.send(message("resolve", "wraparound_near"), clock.now())
        eventually(lambda: names_at(port) == ["ShippyardBlockedSessions"])
    with alertmanager(tmp_path / "second", port, processes), ExitStack() as running:
        eventually(lambda: names_at(port) == [])
        mirror = Mirror(route, lambda _: holds[:1], clock, Pulse(clock))
        running.callback(mirror.stop)
        mirror.start()
        eventually(lambda: names_at(port) == ["ShippyardBlockedSessions"])


def test_a_sign_of_life_is_given_only_while_all_is_well(http: Http, eventually: Eventually) -> None:
    config = Alerting(
        routes=(
            Route(name="r", url=http.url, heartbeat_url=f"{http.url}/alive", heartbeat_every_s=1),
        )
    )
    (switch,) = switches(config)
    ails, clock, metrics = ["shop is down"], SystemClock(), Metrics()
    pulse = Pulse(clock)
    heart = Heartbeat(switch, lambda: ails, clock=clock, metrics=metrics, pulse=pulse)
    name, labels = "shippyard_alerting_heartbeat_timestamp_seconds", {"route": "r"}
    with ExitStack() as running:
        running.callback(heart.stop)
        heart.start()
        eventually(lambda: heart._said == "kept back: shop is down")
        assert http.posts == []
        assert metrics.registry.get_sample_value(name, labels) is None
        ails.clear()
        eventually(lambda: [path for path, _, _ in http.posts][:1] == ["/alive"])
        eventually(lambda: metrics.registry.get_sample_value(name, labels))
