"""How long one answer waits for its reader, without a reader."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shippyard.control.codec import FRAME_BYTES, Failure, Result
from shippyard.control.reply import Reply
from tests.conftest import FakeClock


class Slow(socket.socket):
    """Takes everything, each time after 0.2 s by the fake clock; remembers what it was given."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.clock = clock
        self.timeouts: list[float | None] = []
        self.said: list[bytes] = []
        self.error: OSError | None = None

    def settimeout(self, value: float | None, /) -> None:
        self.timeouts.append(value and round(value, 3))

    def sendall(self, data: Any, _flags: int = 0, /) -> None:
        self.clock.advance(0.2)
        if self.error:
            raise self.error
        self.said.append(bytes(data))


@pytest.fixture
def slow(clock: FakeClock) -> Iterator[Slow]:
    with Slow(clock) as connection:
        yield connection


@pytest.fixture
def reply(slow: Slow, clock: FakeClock) -> Reply:
    return Reply(slow, "1", clock=clock, patience_s=0.5)


def test_items_share_one_patience_and_the_end_has_its_own(slow: Slow, reply: Reply) -> None:
    for number in range(4):
        reply.item({"n": number})
    reply.end(Result("1", {}))
    assert slow.timeouts == [0.5, 0.3, 0.1, 0.001, 0.5]
    assert len(slow.said) == 5


@pytest.mark.parametrize("error", [TimeoutError("timed out"), BrokenPipeError(32, "Broken pipe")])
def test_nothing_follows_a_frame_that_was_lost(slow: Slow, reply: Reply, error: OSError) -> None:
    slow.error = error
    reply.item({})
    assert reply.is_lost
    slow.error = None
    reply.item({})
    reply.end(Result("1", {}))
    assert slow.said == []


def test_nothing_follows_the_end(slow: Slow, reply: Reply) -> None:
    reply.end(Result("1", {}))
    reply.item({})
    reply.progress({})
    reply.end(Result("1", {}))
    assert slow.said == [b'{"id":"1","type":"result","result":{}}\n']


def test_what_can_not_be_said_on_the_way_is_left_out(slow: Slow, reply: Reply) -> None:
    reply.item({"x": "x" * FRAME_BYTES})
    reply.item({"x": float("nan")})
    assert slow.said == []
    assert not reply.is_lost


def test_an_end_that_can_not_be_said_gives_way_to_an_error(slow: Slow, reply: Reply) -> None:
    reply.end(Result("1", {"lag_s": float("nan")}))
    assert b'"type":"error","code":"failed"' in slow.said[0]


def test_a_failure_too_large_keeps_its_code_and_message(slow: Slow, reply: Reply) -> None:
    reply.end(Failure("1", "blocked", "the gate says no", {"evidence": "x" * FRAME_BYTES}))
    assert b'"code":"blocked","message":"the gate says no","detail":{}' in slow.said[0]
