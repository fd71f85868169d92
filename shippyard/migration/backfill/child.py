"""Owns filling in a process of its own: `python -m shippyard.migration.backfill.child`.

Reads which backfill and how to connect from stdin, says how far it is in JSON lines on stdout.
Ends between two batches when it is told to.
"""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError

from shippyard.host.clock import SystemClock
from shippyard.host.secrets import remember
from shippyard.migration.backfill.checkpoint import Checkpoints
from shippyard.migration.backfill.connecting import connected_by
from shippyard.migration.backfill.course import Patience
from shippyard.migration.backfill.server import Server
from shippyard.migration.backfill.spec import BackfillRefused
from shippyard.migration.backfill.worker import Worker
from shippyard.migration.child import claim_stdout, said

SPEC_MAX_BYTES = 64 * 1024
# Rows may be locked for ten minutes; nobody waits for this process.
ATTEMPTS = 600

Tell = Callable[[Mapping[str, Any]], None]


def main() -> int:
    """Fill the one that is named, and say how it ended."""
    emit = claim_stdout()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = json.loads(sys.stdin.buffer.read(SPEC_MAX_BYTES))
    remember(str(asked["conninfo"].get("password", "")))
    try:
        _fill(
            asked["conninfo"], asked["name"], lambda fields: emit({"event": "progress", **fields})
        )
    except KeyboardInterrupt:
        emit({"event": "interrupted"})
    except (BackfillRefused, DBAPIError) as error:
        emit({"event": "failed", "message": said(getattr(error, "orig", None) or error)})
    else:
        emit({"event": "done"})
    return 0


def _fill(conninfo: Mapping[str, Any], name: str, tell: Tell) -> None:
    with connected_by(conninfo, name) as connection:
        found = Checkpoints(Server(connection)).get(name)
        if found is None:
            raise BackfillRefused(f"no backfill is called {name!r}")
        if not found.finished:
            Worker(connection, SystemClock(), tell, Patience(attempts=ATTEMPTS)).run(found.spec)


if __name__ == "__main__":
    sys.exit(main())
