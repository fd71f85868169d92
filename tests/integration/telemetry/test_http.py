"""The listener answers from what it is told, and 404 elsewhere."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from shippyard.telemetry.formats import Format, Wanted
from shippyard.telemetry.http import REQUESTS_MAX, HttpServer
from tests.conftest import Eventually

problems: list[str] = []


def served(asked: Wanted) -> bytes:
    return gzip.compress(b"x 1\n") if asked.zipped else b"x 1\n"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    problems.clear()
    made = HttpServer("127.0.0.1", 0, render=served, alive=list, ready=lambda: list(problems))
    made.start()
    yield made
    made.stop()
    made.stop()


def get(server: HttpServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_metrics_are_served_and_other_paths_are_not(server: HttpServer) -> None:
    assert get(server, "/metrics") == (200, b"x 1\n")
    assert get(server, "/metrics", "HEAD") == (200, b"")
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics", "POST")[0] == 405


def test_a_connection_is_kept_and_ends_with_the_listener(server: HttpServer) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    for _ in range(3):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"x 1\n"
        kept = connection.sock
    assert connection.sock is kept
    server.stop()
    assert kept is not None
    assert kept.recv(1) == b""
    connection.close()


def test_a_reader_gets_what_it_takes(server: HttpServer) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    connection.request("GET", "/metrics?x=1", headers=headers)
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == Format.OPENMETRICS.value
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(answer.read()) == b"x 1\n"
    connection.close()


def test_readiness_says_why_not(server: HttpServer) -> None:
    assert get(server, "/readyz")[0] == 200
    problems.append("shippyar is down")
    status, body = get(server, "/readyz")
    assert status == 503
    assert json.loads(body) == {"ok": False, "problems": ["shippyar is down"]}
    assert get(server, "/healthz")[0] == 200


def test_a_reader_that_never_asks_delays_nobody(server: HttpServer) -> None:
    with socket.create_connection(server.address):
        assert get(server, "/metrics")[0] == 200


def test_readers_have_so_many_places_and_get_them_back(
    server: HttpServer, eventually: Eventually
) -> None:
    # Servers of other tests may still wait for clients that keep a connection for later.
    others = set(threading.enumerate())

    def threads_of_requests() -> list[threading.Thread]:
        new = set(threading.enumerate()) - others
        return [thread for thread in new if "process_request_thread" in thread.name]

    with contextlib.ExitStack() as readers:
        for _ in range(REQUESTS_MAX):
            readers.enter_context(socket.create_connection(server.address, timeout=5))
        eventually(lambda: len(threads_of_requests()) == REQUESTS_MAX)
        for _ in range(3):
            with socket.create_connection(server.address, timeout=5) as one_more:
                answer = one_more.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert answer.endswith(b"\r\n\r\ntoo many requests\n")
        assert len(threads_of_requests()) == REQUESTS_MAX
    eventually(lambda: not threads_of_requests())
    assert [get(server, "/metrics")[0] for _ in range(REQUESTS_MAX + 1)] == [200] * 33


def test_a_place_is_given_back_when_no_thread_can_be_started(
    server: HttpServer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        for _ in range(REQUESTS_MAX + 1):
            with socket.create_connection(server.address, timeout=5) as turned_away:
                assert turned_away.recv(1) == b""
    assert get(server, "/metrics")[0] == 200


def can_listen_on_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not can_listen_on_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_addresses_are_listened_on() -> None:
    made = HttpServer("::1", 0, render=served, alive=list, ready=list)
    made.start()
    try:
        host, port = made.address
        assert (host, port > 0) == ("::1", True)
        assert get(made, "/metrics") == (200, b"x 1\n")
    finally:
        made.stop()
