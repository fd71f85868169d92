"""The listener answers from what it is told, and 404 elsewhere."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from shippyard.telemetry.http import HttpServer

problems: list[str] = []


@pytest.fixture
def server() -> Iterator[HttpServer]:
    problems.clear()
    made = HttpServer(
        "127.0.0.1", 0, render=lambda: b"x 1\n", alive=list, ready=lambda: list(problems)
    )
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
