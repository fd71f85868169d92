"""Owns what stands on the wire: one JSON object a line, in UTF-8, each within a bound. No I/O.

A request is `{"id", "method", "params"}`. It is answered by any number of
`{"id", "type": "progress" | "item", "fields"}`, then by one `{"id", "type": "result", "result"}`
or `{"id", "type": "error", "code", "message", "detail"}`. Requests and frames are at most 64 KiB;
a result, which nothing follows, may be 4 MiB. An error that belongs to no request has the id "".

After a `FrameError` a decoder is of no more use: where the next line would begin is not known.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar, get_args

from shippyard.control.method import Document, ErrorCode

REQUEST_BYTES = 64 * 1024
FRAME_BYTES = 64 * 1024
RESULT_BYTES = 4 * 1024 * 1024
ID_CHARS = 64
METHOD_CHARS = 64

_CODES = frozenset(get_args(ErrorCode))

T = TypeVar("T")


class FrameError(Exception):
    """A line is not what the protocol allows; says what is wrong without repeating the line."""


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    id: str
    method: str
    params: Document


@dataclass(frozen=True)
class Progress:
    """How far the work is; a newer one replaces it."""

    id: str
    fields: Document


@dataclass(frozen=True)
class Item:
    """One piece of the answer."""

    id: str
    fields: Document


@dataclass(frozen=True)
class Result:
    """The end of an answer that is a success."""

    id: str
    result: Document


@dataclass(frozen=True)
class Failure:
    """The end of an answer that is none."""

    id: str
    code: ErrorCode
    message: str
    detail: Document = field(default_factory=dict)


Frame = Progress | Item | Result | Failure


def encode_request(request: Request) -> bytes:
    """The line of a request.

    Raises:
        FrameError: it is larger than the daemon would read, or can't be said in JSON.
    """
    document = {"id": request.id, "method": request.method, "params": request.params}
    return _line(document, REQUEST_BYTES)


def encode_frame(frame: Frame) -> bytes:
    """The line of a frame.

    Raises:
        FrameError: it is too large, or can't be said in JSON.
    """
    match frame:
        case Progress(id_, fields):
            return _line({"id": id_, "type": "progress", "fields": fields}, FRAME_BYTES)
        case Item(id_, fields):
            return _line({"id": id_, "type": "item", "fields": fields}, FRAME_BYTES)
        case Result(id_, result):
            return _line({"id": id_, "type": "result", "result": result}, RESULT_BYTES)
        case Failure(id_, code, message, detail):
            said = {"code": code, "message": message, "detail": detail}
            return _line({"id": id_, "type": "error", **said}, FRAME_BYTES)


class Decoder(Generic[T]):
    """Turns bytes, in whatever pieces they come, into what `parse` makes of each line."""

    def __init__(self, parse: Callable[[Document], T], limit_bytes: int) -> None:
        self._parse = parse
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes that came."""
        self._buffer += data

    def next(self) -> T | None:
        """The next whole line, or None when more bytes are needed. Empty lines are skipped.

        Raises:
            FrameError: the line is garbage, or has no end within the limit.
        """
        while (line := self._take_line()) is not None:
            if line.strip():
                return self._parse(_document(line))
        return None

    @property
    def in_the_middle(self) -> bool:
        """A line has begun that has no end yet."""
        return bool(self._buffer)

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        self._searched = len(self._buffer)
        if end > self._limit_bytes or (end < 0 and len(self._buffer) > self._limit_bytes):
            raise FrameError(f"the line is longer than {self._limit_bytes} bytes")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line


def request_decoder() -> Decoder[Request]:
    """Reads what clients send."""
    return Decoder(_request_of, REQUEST_BYTES)


def frame_decoder() -> Decoder[Frame]:
    """Reads what the daemon answers."""
    return Decoder(_frame_of, RESULT_BYTES)


def _line(document: Document, limit_bytes: int) -> bytes:
    try:
        text = json.dumps(
            document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise FrameError(f"can't be said in JSON: {error}") from None
    line = text.encode("utf-8", "replace")  # a lone surrogate must not cost the whole answer
    if len(line) > limit_bytes:
        raise FrameError(f"{len(line)} bytes are more than the {limit_bytes} of a line")
    return line + b"\n"


def _document(line: bytes) -> Document:
    try:
        document = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise FrameError("the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise FrameError(f"the line is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):
        raise FrameError("the line is not JSON that can be read") from None
    if not isinstance(document, dict):
        raise FrameError("the line is not a JSON object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _request_of(document: Document) -> Request:
    if unknown := sorted(set(document) - {"id", "method", "params"}):
        raise FrameError(f"a request has id, method and params; it has no {unknown[0][:40]!r}")
    return Request(
        _text(document, "id", ID_CHARS),
        _text(document, "method", METHOD_CHARS),
        _object(document, "params"),
    )


def _frame_of(document: Document) -> Frame:
    id_ = _text(document, "id", ID_CHARS)
    match document.get("type"):
        case "progress":
            return Progress(id_, _object(document, "fields"))
        case "item":
            return Item(id_, _object(document, "fields"))
        case "result":
            return Result(id_, _object(document, "result"))
        case "error":
            message = _text(document, "message", FRAME_BYTES)
            return Failure(id_, _code(document), message, _object(document, "detail"))
    raise FrameError("the frame's 'type' is unknown")


def _text(document: Document, key: str, limit_chars: int) -> str:
    value = document.get(key)
    if not isinstance(value, str) or len(value) > limit_chars:
        raise FrameError(f"{key!r} must be a string of at most {limit_chars} characters")
    return value


def _object(document: Document, key: str) -> Document:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise FrameError(f"{key!r} must be an object")
    return value


def _code(document: Document) -> ErrorCode:
    value: Any = document.get("code")
    if value not in _CODES:
        raise FrameError("the error's 'code' is unknown")
    code: ErrorCode = value
    return code
