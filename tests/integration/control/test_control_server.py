"""The control socket for real: sockets, files, users, and clients that misbehave."""

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from shippyard.config.base import Environment
from shippyard.config.models import Control
from shippyard.control.client import CallFailed, Client, DaemonUnreachable, NotPermitted
from shippyard.control.codec import RESULT_BYTES
from shippyard.control.endpoint import AlreadyRunning, SocketUnusable
from shippyard.control.method import Call, Document, Method, MethodError
from shippyard.control.server import ControlServer, Limits
from shippyard.host.clock import SystemClock
from shippyard.telemetry.metrics import Metrics
from tests.conftest import Eventually

CLOCK = SystemClock()
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

# Speaks for another user: connects, asks, prints the last frame's code or "ok", or the error.
ASK_AS = """
import json, os, socket, sys
path, uid, gid, groups, method = sys.argv[1:6]
os.setgroups([int(g) for g in groups.split(",") if g]); os.setgid(int(gid)); os.setuid(int(uid))
s = socket.socket(socket.AF_UNIX); s.settimeout(10)
try:
    s.connect(path)
except OSError as error:
    print(type(error).__name__); sys.exit()
s.sendall(json.dumps({"id": "1", "method": method, "params": {}}).encode() + b"\\n")
print(json.loads(s.makefile("rb").readline()).get("code", "ok"))
"""


class Work:
    """A method that works until let go, and says how far it is as often as it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.finished = threading.Event()
        self.frames = 0
        self.frame: dict[str, Any] = {"phase": "dump"}
        self.says: tuple[str, ...] = ("progress", "item")

    def __call__(self, call: Call) -> Document:
        self.begun.set()
        assert self.let_go.wait(20)
        for number in range(self.frames):
            for kind in self.says:
                getattr(call.stream, kind)({**self.frame, "number": number})
        self.finished.set()
        return {"frames": self.frames}


class Served:
    """A server in a folder of its own, and how to reach it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run" / "control.sock"
        self.work = Work()
        self.metrics = Metrics()
        self.beats = 0
        self._stack = ExitStack()

    def start(
        self,
        *,
        limits: Limits | None = None,
        environment: Environment = "testing",
        **config: Any,
    ) -> ControlServer:
        server = self.server(limits=limits, environment=environment, **config)
        server.start()
        self._stack.callback(server.stop)
        return server

    def server(
        self, *, limits: Limits | None = None, environment: Environment = "testing", **config: Any
    ) -> ControlServer:
        return ControlServer(
            Control(socket=self.path, **{"allow_root": True, **config}),
            [
                Method("status", "viewer", lambda call: {"user": call.peer.user, **call.params}),
                Method("work", "operator", self.work),
                Method("refuse", "viewer", _refuse),
                Method("big", "viewer", lambda call: {"x": "x" * call.params["size_bytes"]}),
                Method("approve", "approver", lambda _: {}),
            ],
            clock=CLOCK,
            metrics=self.metrics,
            beat=self._beat,
            environment=environment,
            limits=limits,
        )

    def _beat(self) -> None:
        self.beats += 1

    def client(self) -> Client:
        return Client(self.path)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stack.callback(connection.close)
        connection.settimeout(10)
        connection.connect(str(self.path))
        return connection

    def ask_as(self, uid: int, gid: int, method: str, *groups: int) -> str:
        done = subprocess.run(
            [
                os.path.realpath(sys.executable),
                "-c",
                ASK_AS,
                str(self.path),
                str(uid),
                str(gid),
                ",".join(map(str, groups)),
                method,
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip()

    def counted(self, method: str, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "shippyard_control_requests_total", {"method": method, "outcome": outcome}
            )
            or 0
        )

    def close(self) -> None:
        self.work.let_go.set()
        self._stack.close()


def _refuse(_: Call) -> Document:
    raise MethodError("blocked", "no fresh backup", {"gate": "backup"})


@pytest.fixture
def served() -> Iterator[Served]:
    # Not in tmp_path: other users must get in, and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="shippyard-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        made = Served(Path(folder))
        try:
            yield made
        finally:
            made.close()


def send(connection: socket.socket, method: str, id_: str = "1", **params: Any) -> None:
    document = {"id": id_, "method": method, "params": params}
    connection.sendall(json.dumps(document).encode() + b"\n")


def frames(connection: socket.socket) -> list[dict[str, Any]]:
    """Everything until the daemon hangs up."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass  # it hung up before it had read all of ours
    return [json.loads(line) for line in received.splitlines()]


def in_background(run: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


# --- the file ------------------------------------------------------------------------------------


def test_the_socket_is_made_with_its_folder_for_owner_and_group_only(served: Served) -> None:
    served.start()
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o660


def test_the_socket_is_given_to_the_group(served: Served) -> None:
    import grp  # noqa: PLC0415  only here

    group = (
        grp.getgrgid([os.getegid(), *os.getgroups()][-1])
        if os.geteuid()
        else grp.getgrnam("nogroup")
    )
    served.start(group=group.gr_name)
    assert served.path.stat().st_gid == group.gr_gid


def test_an_unknown_group_is_an_error_that_says_what_to_type(served: Served) -> None:
    with pytest.raises(SocketUnusable, match="groupadd --system shipping-admins"):
        served.start(group="shipping-admins")
    assert not served.path.exists()
    served.start()


def test_the_socket_of_a_dead_daemon_is_replaced(served: Served) -> None:
    served.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(served.path))
    served.start()
    assert served.client().call("status", {"a": 1})["a"] == 1


def test_the_socket_of_a_live_daemon_is_left_alone(served: Served) -> None:
    served.start()
    with pytest.raises(AlreadyRunning, match="another shippyard daemon has it; stop that one"):
        served.server().start()
    assert served.client().call("status")


def test_a_live_socket_without_our_lock_is_left_alone_too(served: Served) -> None:
    served.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(served.path))
        other.listen()
        with pytest.raises(AlreadyRunning):
            served.server().start()
    assert served.path.exists()


def test_a_daemon_whose_socket_was_removed_still_holds_its_place(served: Served) -> None:
    served.start()
    served.path.unlink()
    with pytest.raises(AlreadyRunning):
        served.server().start()


def test_a_file_that_is_no_socket_is_never_removed(served: Served) -> None:
    served.path.parent.mkdir()
    served.path.write_text("precious")
    with pytest.raises(SocketUnusable, match="move it away"):
        served.server().start()
    assert served.path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_one_line(served: Served) -> None:
    served.path = served.path.with_name("x" * 120)
    with pytest.raises(SocketUnusable, match=r"too long; set control\.socket"):
        served.server().start()


def test_after_a_stop_the_file_is_gone_and_another_daemon_may_start(served: Served) -> None:
    served.start().stop()
    assert not served.path.exists()
    served.start()
    assert served.client().call("status")


# --- answers -------------------------------------------------------------------------------------


def test_a_call_gives_its_result(served: Served) -> None:
    served.start()
    assert served.client().call("status", {"database": "shippyar"})["database"] == "shippyar"
    assert served.counted("status", "ok") == 1


def test_progress_and_items_come_before_the_result(served: Served) -> None:
    served.start()
    served.work.frames = 3
    served.work.let_go.set()
    progress: list[Document] = []
    items: list[Document] = []
    result = served.client().call("work", on_progress=progress.append, on_item=items.append)
    assert result == {"frames": 3}
    assert progress == items == [{"phase": "dump", "number": n} for n in range(3)]


def test_a_refusal_reaches_the_caller_with_code_and_details(served: Served) -> None:
    served.start()
    with pytest.raises(CallFailed, match="no fresh backup") as refused:
        served.client().call("refuse")
    assert (refused.value.code, refused.value.detail) == ("blocked", {"gate": "backup"})


def test_several_requests_may_share_a_connection(served: Served) -> None:
    served.start()
    connection = served.connect()
    send(connection, "status", "a", n=1)
    send(connection, "refuse", "b")
    send(connection, "status", "c", n=2)
    connection.shutdown(socket.SHUT_WR)
    assert [(frame["id"], frame["type"]) for frame in frames(connection)] == [
        ("a", "result"),
        ("b", "error"),
        ("c", "result"),
    ]


def test_a_result_of_megabytes_arrives_and_a_larger_one_is_an_error(served: Served) -> None:
    served.start()
    size_bytes = RESULT_BYTES - 1000
    assert len(served.client().call("big", {"size_bytes": size_bytes})["x"]) == size_bytes
    with pytest.raises(CallFailed, match="too large") as failed:
        served.client().call("big", {"size_bytes": RESULT_BYTES})
    assert failed.value.code == "failed"


# --- clients that misbehave ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not JSON"),
        (os.urandom(4096).replace(b"\n", b"\0") + b"\n", "bad request"),
        (b"x" * 1024 * 1024, "longer than 65536 bytes"),
        (b"x" * 1024 * 1024 + b"\n", "longer than 65536 bytes"),
        (b"[" * 65_000 + b"\n", "not JSON that can be read"),
        (b'{"id":"1"', "the line has no end"),
    ],
    ids=["http", "random", "1MB", "1MB-line", "nested", "cut"],
)
def test_garbage_gets_one_error_and_harms_nobody(served: Served, said: bytes, says: str) -> None:
    served.start()
    connection = served.connect()
    try:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it hangs up as soon as it has seen enough
    (frame,) = frames(connection)
    assert (frame["id"], frame["type"], frame["code"]) == ("", "error", "usage")
    assert says in frame["message"]
    assert served.client().call("status")


def test_what_a_client_says_after_garbage_is_not_done(served: Served) -> None:
    served.start()
    connection = served.connect()
    connection.sendall(b'garbage\n{"id":"1","method":"work"}\n')
    assert [frame["type"] for frame in frames(connection)] == ["error"]
    assert not served.work.begun.is_set()


def test_clients_beyond_the_bound_are_told_and_the_rest_served(
    served: Served, eventually: Eventually
) -> None:
    served.start(max_clients=8)
    holding = [served.connect() for _ in range(8)]
    for number, connection in enumerate(holding):
        send(connection, "work", str(number))
    outcomes: list[str] = []

    def one_more() -> None:
        try:
            served.client().call("status", timeout_s=10)
            outcomes.append("served")
        except CallFailed as refused:
            outcomes.append(str(refused))

    for thread in [in_background(one_more) for _ in range(100)]:
        thread.join(20)
    assert outcomes == ["all 8 connections are in use; try again later"] * 100
    served.work.let_go.set()
    for number, connection in enumerate(holding):
        connection.shutdown(socket.SHUT_WR)
        assert [frame["id"] for frame in frames(connection)] == [str(number)]

    def is_served_again() -> bool:
        one_more()
        return outcomes[-1] == "served"

    eventually(is_served_again)


def test_a_client_that_leaves_does_not_end_the_work(served: Served, eventually: Eventually) -> None:
    served.start()
    served.work.frames = 500
    connection = served.connect()
    send(connection, "work")
    assert served.work.begun.wait(10)
    connection.close()
    served.work.let_go.set()
    assert served.work.finished.wait(10)
    eventually(lambda: served.counted("work", "ok") == 1)


def test_a_reader_that_is_stuck_does_not_hold_up_the_work(
    served: Served, eventually: Eventually
) -> None:
    served.start(limits=Limits(patience_s=0.3))
    served.work.frames = 300
    served.work.frame = {"x": "x" * 60_000}
    connection = served.connect()
    send(connection, "work")
    served.work.let_go.set()
    began = CLOCK.monotonic()
    assert served.work.finished.wait(10)
    assert CLOCK.monotonic() - began < 3
    eventually(lambda: served.counted("work", "ok") == 1)
    # What it finds when it reads at last: whole frames, then perhaps a cut one, then the end.
    *whole, _cut = connection.makefile("rb").read().split(b"\n")
    assert whole
    assert {json.loads(line)["type"] for line in whole} <= {"progress", "item"}
    assert served.client().call("status")


def test_a_slow_reader_loses_progress_and_keeps_the_result(served: Served) -> None:
    served.start()
    served.work.frames = 100
    served.work.frame = {"x": "x" * 60_000}
    served.work.says = ("progress",)
    served.work.let_go.set()
    connection = served.connect()
    send(connection, "work")
    connection.shutdown(socket.SHUT_WR)
    assert served.work.finished.wait(10)
    *progress, last = frames(connection)
    assert last["type"] == "result"
    assert 0 < len(progress) < 50
    assert [frame["fields"]["number"] for frame in progress] == list(range(len(progress)))


@pytest.mark.parametrize(("begun", "types"), [(b"", []), (b'{"id":', ["error"])])
def test_a_client_that_says_nothing_is_hung_up_on(
    served: Served, begun: bytes, types: list[str]
) -> None:
    served.start(limits=Limits(request_s=0.2))
    connection = served.connect()
    connection.sendall(begun)
    assert [frame["type"] for frame in frames(connection)] == types


def test_dripping_bytes_do_not_buy_time(served: Served) -> None:
    served.start(limits=Limits(request_s=0.3))
    connection = served.connect()
    began = CLOCK.monotonic()
    pause = threading.Event()
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        while CLOCK.monotonic() - began < 5:
            connection.sendall(b" ")
            pause.wait(0.02)
    assert CLOCK.monotonic() - began < 3


# --- who may -------------------------------------------------------------------------------------

LISTS: dict[str, Any] = {
    "viewers": ("@43210",),
    "operators": ("43211", "@43212", "@nogroup"),
    "approvers": ("43213",),
}


@NEEDS_ROOT
@pytest.mark.parametrize(
    ("uid", "gid", "groups", "may"),
    [
        (43200, 43210, (), "v"),
        (43200, 43299, (43210,), "v"),
        (43211, 43299, (), "vo"),
        (43200, 43299, (43298, 43212), "vo"),
        (43213, 43299, (), "va"),
        (43200, 43299, (), ""),
        (43200, 65534, (), ""),
        (43200, 43210, (65534,), "v"),
        (65534, 43212, (43210,), ""),
        (0, 43212, (43212,), "v"),
    ],
)
def test_roles_of_real_processes(
    served: Served, uid: int, gid: int, groups: tuple[int, ...], may: str
) -> None:
    served.start(allow_root=False, **LISTS)
    served.path.chmod(0o666)  # so that it is the roles that are tried, not the file
    served.work.let_go.set()
    asked = {"v": "status", "o": "work", "a": "approve"}
    answers = {role: served.ask_as(uid, gid, method, *groups) for role, method in asked.items()}
    assert answers == {role: "ok" if role in may else "not_permitted" for role in asked}


@NEEDS_ROOT
def test_without_viewers_whoever_gets_in_may_look(served: Served) -> None:
    served.start(group="nogroup", operators=("43211",))
    nogroup = served.path.stat().st_gid
    assert served.ask_as(43200, 43299, "status", nogroup) == "ok"
    assert served.ask_as(43200, 43299, "work", nogroup) == "not_permitted"
    assert served.ask_as(43200, 43299, "status") == "PermissionError"


@NEEDS_ROOT
@pytest.mark.parametrize(
    ("environment", "answer"), [("development", "ok"), ("production", "not_permitted")]
)
def test_the_daemons_own_user_operates_outside_production(
    served: Served, environment: Environment, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 43220)
    served.start(environment=environment)
    served.path.chmod(0o666)
    served.work.let_go.set()
    assert served.ask_as(43220, 43220, "work") == answer


# --- the client ----------------------------------------------------------------------------------


def test_no_daemon_is_said_with_what_to_type(served: Served) -> None:
    with pytest.raises(DaemonUnreachable, match=r"systemctl status shippyard.*--socket"):
        served.client().call("status")
    served.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(served.path))
    with pytest.raises(DaemonUnreachable, match="Connection refused"):
        served.client().call("status")


def test_a_socket_one_may_not_open_names_its_group(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.start()

    def forbidden(self: socket.socket, _: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with pytest.raises(NotPermitted, match=r"usermod -aG \w+ YOU.*then log in again"):
        served.client().call("status")


def test_a_call_has_a_deadline_and_the_work_goes_on(served: Served) -> None:
    served.start()
    with pytest.raises(DaemonUnreachable, match="may still be at work"):
        served.client().call("work", timeout_s=0.2)
    served.work.let_go.set()
    assert served.work.finished.wait(10)


def test_something_else_on_the_socket_is_recognised(served: Served) -> None:
    served.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(served.path))
        other.listen()

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = in_background(greet)
        with pytest.raises(DaemonUnreachable, match="is no shippyard daemon"):
            served.client().call("status")
        thread.join(10)


def test_a_request_too_large_is_not_sent(served: Served) -> None:
    served.start()
    with pytest.raises(CallFailed, match="can't be sent") as refused:
        served.client().call("status", {"x": "x" * 70_000})
    assert refused.value.code == "usage"


# --- stopping ------------------------------------------------------------------------------------


def test_stopping_is_safe_before_the_start_and_twice(served: Served) -> None:
    server = served.server()
    server.stop()
    running = served.start()
    running.stop()
    running.stop()


def test_a_stop_hangs_up_on_idle_clients_at_once(served: Served) -> None:
    server = served.start()
    idle = served.connect()
    assert served.client().call("status")  # came later, so the idle one is being waited for by now
    began = CLOCK.monotonic()
    server.stop()
    assert CLOCK.monotonic() - began < 1
    assert frames(idle) == []


def test_a_stop_lets_a_method_that_ends_now_answer(served: Served) -> None:
    server = served.start()
    connection = served.connect()
    send(connection, "work")
    assert served.work.begun.wait(10)
    stopping = in_background(server.stop)
    served.work.let_go.set()
    assert [frame["type"] for frame in frames(connection)] == ["result"]
    stopping.join(10)


def test_a_stop_leaves_a_method_that_does_not_end(served: Served) -> None:
    server = served.start()
    connection = served.connect()
    send(connection, "work")
    assert served.work.begun.wait(10)
    began = CLOCK.monotonic()
    server.stop()
    assert CLOCK.monotonic() - began < 3
    assert frames(connection) == []
    with pytest.raises(DaemonUnreachable):
        served.client().call("status")


def test_its_turns_are_beats(served: Served, eventually: Eventually) -> None:
    served.start(limits=Limits(turn_s=0.02))
    eventually(lambda: served.beats > 5)
