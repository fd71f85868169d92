"""Owns what both children need: stdout kept for the protocol, and Alembic pointed at the copy.

Runs only in a child process, because what it loads is user code.
"""

import io
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shippyard.host.secrets import mask

if TYPE_CHECKING:
    from alembic.config import Config

MESSAGE_MAX_CHARS = 2000

# env.py must use the connection it is given; should it make its own, it must reach nothing.
NOWHERE = "postgresql+psycopg://connection-is-passed.invalid/"

Emit = Callable[[Mapping[str, Any]], None]


def claim_stdout() -> Emit:
    """Keep stdout for JSON lines; whatever user code prints goes to stderr from now on.

    What it gives is safe from any thread.
    """
    one_at_a_time = threading.Lock()
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(document: Mapping[str, Any]) -> None:
        line = json.dumps(document) + "\n"
        with one_at_a_time:
            channel.write(line)
            channel.flush()

    return emit


def alembic_config(
    copy: str, ini: str, scripts: str, output: io.StringIO | None = None
) -> "Config":
    """Alembic's configuration for a copy of the tree."""
    # a runner that is refused has not waited for Alembic to be loaded
    from alembic.config import Config  # noqa: PLC0415

    config = (
        Config(str(Path(copy) / ini), output_buffer=output)
        if output
        else Config(str(Path(copy) / ini))
    )
    config.set_main_option("script_location", str(Path(copy) / scripts).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", NOWHERE)
    return config


def said(error: BaseException) -> str:
    """An error as one line, secrets masked, within what one protocol line may hold."""
    text = mask(" ".join(str(error).split()) or type(error).__name__)
    return text if len(text) <= MESSAGE_MAX_CHARS else text[: MESSAGE_MAX_CHARS - 1] + "…"
