"""A known secret shows in no log line, whoever wrote it, and in no Sentry event."""

import io
import json
import logging
from typing import Any

import pytest
import structlog

from shippyard.host.secrets import MASK, remember
from shippyard.telemetry.logging import configure_logging
from shippyard.telemetry.sentry import _scrub

SECRET = "s3cr3t-hunter2"  # a planted one
ESCAPED = 'pä"ss\\word'  # one that JSON and repr() write in other letters


def logged(write: object, format_: str = "json") -> str:
    stream = io.StringIO()
    configure_logging("debug", format_, stream)
    assert callable(write)
    write()
    return stream.getvalue()


def test_ours_and_the_libraries_lines_are_json_and_masked() -> None:
    remember(SECRET)

    def write() -> None:
        structlog.get_logger("ours").info("backup.failed", reason=f"password {SECRET} refused")
        logging.getLogger("theirs").error("dsn=%s", SECRET)
        try:
            raise RuntimeError(SECRET)
        except RuntimeError:
            structlog.get_logger("ours").exception("crashed")

    text = logged(write)
    assert SECRET not in text
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["event"] for event in events[:1]] == ["backup.failed"]
    assert len(events) == 3
    assert all(event["level"] and event["timestamp"] for event in events)


def test_sentry_events_are_scrubbed_however_deep() -> None:
    remember(SECRET)
    event = {"exception": {"values": [{"value": f"bad {SECRET}", "frames": [{"x": [SECRET]}]}]}}
    assert SECRET not in json.dumps(_scrub(event, {}))


def nest() -> dict[str, Any]:
    """The secret at every place where a value can be."""
    return {
        "list": [ESCAPED, {"dict": f"a {ESCAPED} b"}],
        "tuple": (ESCAPED, (ESCAPED,)),
        "key": {ESCAPED: 1},
        "bytes": ESCAPED.encode(),
        "object": RuntimeError(ESCAPED),
    }


def test_a_secret_that_json_escapes_is_masked_in_sentry_events() -> None:
    remember(ESCAPED)
    event = {"level": "error", "count": 3, "ratio": 0.5, "none": None, "extra": nest()}
    scrubbed = _scrub(event, {})
    assert scrubbed == {
        "level": "error",
        "count": 3,
        "ratio": 0.5,
        "none": None,
        "extra": {
            "list": [MASK, {"dict": f"a {MASK} b"}],
            "tuple": [MASK, [MASK]],
            "key": {MASK: 1},
            "bytes": MASK,
            "object": MASK,
        },
    }


def test_an_event_that_holds_itself_is_scrubbed_too() -> None:
    remember(SECRET)
    event: dict[str, Any] = {"said": SECRET}
    event["again"] = event
    assert SECRET not in json.dumps(_scrub(event, {}))


@pytest.mark.parametrize("format_", ["json", "console"])
def test_nested_values_and_tracebacks_are_masked_in_every_format(format_: str) -> None:
    remember(ESCAPED)

    def write() -> None:
        log = structlog.get_logger("ours")
        try:
            raise RuntimeError(ESCAPED)
        except RuntimeError:
            log.exception("crashed", **nest())
            logging.getLogger("theirs").exception("crashed too")

    text = logged(write, format_)
    assert text.count("RuntimeError: [secret]") == 2
    for written in (ESCAPED, repr(ESCAPED)[1:-1], json.dumps(ESCAPED)[1:-1]):
        assert written not in text
