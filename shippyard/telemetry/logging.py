"""Owns how log lines look: structlog for ours and the libraries' alike, secrets masked.

JSON unless the output is a terminal; one line per event.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shippyard.telemetry.masking import masked


def configure_logging(level: str, format_: str, stream: TextIO = sys.stderr) -> None:
    """Send every log record of this process to `stream`.

    `level` is a name such as "info"; `format_` is "auto", "json" or "console".
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    console = format_ == "console" or (format_ == "auto" and stream.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta]
            + (_for_people() if console else _for_machines()),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("apscheduler", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _for_people() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        _mask_values,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_machines() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        _mask_values,
        structlog.processors.JSONRenderer(default=str),
    ]


def _mask_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace known secrets in all that will be shown; tracebacks are text by now."""
    return {key: masked(value) for key, value in event.items()}
