"""What stands on the wire, without a wire: every frame, every size, every kind of garbage."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shippyard.control.codec import (
    FRAME_BYTES,
    REQUEST_BYTES,
    RESULT_BYTES,
    Failure,
    Frame,
    FrameError,
    Item,
    Progress,
    Request,
    Result,
    encode_frame,
    encode_request,
    frame_decoder,
    request_decoder,
)

REQUEST = Request("7", "backup.run", {"database": "shippyar", "note": "æøå\n\u2028\0"})

FRAMES: list[Frame] = [
    Progress("7", {"phase": "dump"}),
    Item("7", {"verdict": {"gate": "lag"}}),
    Result("7", {"backups": []}),
    Failure("7", "blocked", "no fresh backup", {"gate": "backup"}),
]


def request_line(**changes: Any) -> bytes:
    return json.dumps({"id": "1", "method": "status", "params": {}, **changes}).encode() + b"\n"


def sized_request(size_bytes: int) -> bytes:
    """A request whose line has exactly this many bytes, its end not counted."""
    empty = len(encode_request(Request("1", "m", {"x": ""}))) - 1
    return encode_request(Request("1", "m", {"x": "x" * (size_bytes - empty)}))


def test_a_request_is_one_line_and_comes_back() -> None:
    line = encode_request(REQUEST)
    assert line.count(b"\n") == 1
    decoder = request_decoder()
    decoder.feed(line)
    assert decoder.next() == REQUEST
    assert decoder.next() is None


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_comes_back(frame: Frame) -> None:
    decoder = frame_decoder()
    decoder.feed(encode_frame(frame))
    assert decoder.next() == frame


def test_bytes_may_come_one_by_one() -> None:
    decoder, line = request_decoder(), encode_request(REQUEST)
    for byte in line[:-1]:
        decoder.feed(bytes([byte]))
        assert decoder.next() is None
        assert decoder.in_the_middle
    decoder.feed(line[-1:])
    assert decoder.next() == REQUEST
    assert not decoder.in_the_middle


def test_several_lines_may_come_at_once_with_empty_ones_and_crlf_between() -> None:
    decoder = request_decoder()
    decoder.feed(request_line(id="1") + b"\n  \r\n" + request_line(id="2").replace(b"\n", b"\r\n"))
    found = [decoder.next(), decoder.next(), decoder.next()]
    assert [request and request.id for request in found] == ["1", "2", None]


def test_what_came_before_garbage_is_read() -> None:
    decoder = request_decoder()
    decoder.feed(request_line(id="1") + b"garbage\n")
    first = decoder.next()
    assert first is not None
    assert first.id == "1"
    with pytest.raises(FrameError):
        decoder.next()


def test_params_may_be_left_out() -> None:
    decoder = request_decoder()
    decoder.feed(b'{"id":"1","method":"status"}\n')
    assert decoder.next() == Request("1", "status", {})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"garbage\n", "not JSON: Expecting value at character 0"),
        (b"GET / HTTP/1.1\r\n", "not JSON"),
        (b"\x16\x03\x01\x02\x00\n", "not JSON"),
        (b'"\xff\xfe"\n', "not UTF-8"),
        (b"\xef\xbb\xbf{}\n", "not JSON"),
        (b"[]\n", "not a JSON object"),
        (b"null\n", "not a JSON object"),
        (b"[" * 60_000 + b"\n", "not JSON that can be read"),
        (b'{"id":' + b"9" * 60_000 + b"}\n", "not JSON that can be read"),
        (request_line(params={"x": float("nan")}), "not JSON that can be read"),
        (request_line(params={"x": float("inf")}), "not JSON that can be read"),
        (request_line(id=1), "'id' must be a string"),
        (request_line(id="x" * 65), "'id' must be a string of at most 64"),
        (b'{"method":"status"}\n', "'id' must be a string"),
        (request_line(method=None), "'method' must be a string"),
        (request_line(method="m" * 65), "'method' must be a string of at most 64"),
        (request_line(params=[]), "'params' must be an object"),
        (request_line(params=None), "'params' must be an object"),
        (request_line(param={}), "it has no 'param'"),
        (request_line(**{"secret\n" * 100: 1}), "it has no 'secret"),
    ],
)
def test_garbage_is_named_in_one_short_line(line: bytes, says: str) -> None:
    decoder = request_decoder()
    decoder.feed(line)
    with pytest.raises(FrameError) as refused:
        decoder.next()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"id":"1"}\n', "'type' is unknown"),
        (b'{"id":"1","type":"event"}\n', "'type' is unknown"),
        (b'{"id":"1","type":["error"]}\n', "'type' is unknown"),
        (b'{"id":"1","type":"result","result":1}\n', "'result' must be an object"),
        (b'{"id":"1","type":"error","code":"teapot","message":"x"}\n', "'code' is unknown"),
        (b'{"id":"1","type":"error","code":"failed"}\n', "'message' must be a string"),
    ],
)
def test_a_client_knows_what_is_no_frame(line: bytes, says: str) -> None:
    decoder = frame_decoder()
    decoder.feed(line)
    with pytest.raises(FrameError, match=says):
        decoder.next()


def test_a_request_of_just_the_limit_is_read() -> None:
    decoder = request_decoder()
    line = sized_request(REQUEST_BYTES)
    assert len(line) == REQUEST_BYTES + 1
    decoder.feed(line)
    assert decoder.next() is not None


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_longer_request_is_refused_with_or_without_its_end(ending: bytes) -> None:
    decoder = request_decoder()
    decoder.feed(b" " * (REQUEST_BYTES + 1) + ending)
    with pytest.raises(FrameError, match="longer than 65536 bytes"):
        decoder.next()


def test_a_line_that_grows_too_long_is_refused_before_it_ends() -> None:
    decoder = request_decoder()
    decoder.feed(b"x" * REQUEST_BYTES)
    assert decoder.next() is None
    decoder.feed(b"x")
    with pytest.raises(FrameError, match="longer"):
        decoder.next()


def test_a_request_that_would_be_refused_is_not_sent() -> None:
    with pytest.raises(FrameError, match="more than the 65536"):
        sized_request(REQUEST_BYTES + 1)


@pytest.mark.parametrize(
    ("frame", "limit_bytes"),
    [
        (Progress("1", {"x": "x" * FRAME_BYTES}), FRAME_BYTES),
        (Item("1", {"x": "x" * FRAME_BYTES}), FRAME_BYTES),
        (Failure("1", "failed", "x" * FRAME_BYTES), FRAME_BYTES),
        (Result("1", {"x": "x" * RESULT_BYTES}), RESULT_BYTES),
    ],
)
def test_every_frame_has_a_bound(frame: Frame, limit_bytes: int) -> None:
    with pytest.raises(FrameError, match=f"more than the {limit_bytes}"):
        encode_frame(frame)


def test_a_result_may_be_larger_than_other_frames() -> None:
    result = Result("1", {"x": "x" * (RESULT_BYTES - 100)})
    decoder = frame_decoder()
    decoder.feed(encode_frame(result))
    assert decoder.next() == result


def test_bytes_are_what_is_counted() -> None:
    with pytest.raises(FrameError, match="more than"):
        encode_frame(Progress("1", {"x": "ø" * (FRAME_BYTES // 2)}))


def test_what_json_does_not_know_becomes_text() -> None:
    line = encode_frame(Result("1", {"at": datetime(2026, 3, 4, tzinfo=UTC), "odd": "\udcff"}))
    assert json.loads(line)["result"] == {"at": "2026-03-04 00:00:00+00:00", "odd": "?"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(FrameError, match="can't be said in JSON"):
        encode_frame(Result("1", {"lag_s": value}))


def test_a_document_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(FrameError, match="can't be said in JSON"):
        encode_frame(Result("1", loop))
