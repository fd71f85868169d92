"""A known secret shows in no log line, whoever wrote it, and in no Sentry event."""

import io
import json
import logging

import structlog

from shippyard.host.secrets import remember
from shippyard.telemetry.logging import configure_logging
from shippyard.telemetry.sentry import _scrub

SECRET = "s3cr3t-hunter2"  # a planted one


def logged(write: object) -> str:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
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
