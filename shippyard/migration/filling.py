"""Owns the backfills of every database as the daemon sees them: how they stand, begun, stopped.

The work is a child's; here it is started, listened to and told to end. A backfill that a run does
itself is stopped with its run.
"""

import json
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from shippyard.host.clock import Clock
from shippyard.host.process import PIPE, Child, Processes, own_module
from shippyard.migration.backfill.checkpoint import Checkpoint, Checkpoints, share
from shippyard.migration.backfill.connecting import connected
from shippyard.migration.backfill.server import Server
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.telemetry.metrics import Metrics

FILL_TIMEOUT_S = 30 * 86400.0
LAST_WORDS_S = 10.0
NAME_MAX_CHARS = 63
NAMES_MAX = 200
"""Series of backfills, at most."""

Key = tuple[str, str]

log = structlog.get_logger(__name__)


class FillingRefused(Exception):
    """It can't be begun or stopped; one line that says what to do."""


class Backfills:
    """Backfills of every configured database. Safe from any thread."""

    def __init__(
        self,
        targets: Mapping[str, Target | None],
        processes: Processes,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`targets` maps each database to its migrator login."""
        self._targets = targets
        self._processes = processes
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._filling: dict[Key, Child | None] = {}
        self._named: set[Key] = set()

    def standing(self, database: str | None = None) -> list[dict[str, Any]]:
        """How every registered backfill stands; of a database that gives no answer nothing."""
        asked = [name for name in sorted(self._targets) if database in (None, name)]
        return [each for name in asked for each in self._standing_of(name)]

    def begin(self, database: str, name: str) -> None:
        """Fill what is left of one, in the background.

        Raises:
            FillingRefused: unknown, finished, or under way.
        """
        target = self._target(database)
        found = {each["name"]: each for each in self._standing_of(database)}.get(name)
        if found is None:
            raise FillingRefused(f"{database} has no backfill {name!r}; see `migrate status`")
        if found["state"] == "done":
            raise FillingRefused(f"backfill {name} is done")
        with self._lock:
            if (database, name) in self._filling:
                raise FillingRefused(f"backfill {name} is being filled already")
            self._filling[database, name] = None
        fill = threading.Thread(target=self._fill, args=(database, name, target), daemon=True)
        fill.start()

    def end(self, database: str, name: str) -> None:
        """Stop one between two batches; it goes on there when it is begun again.

        Raises:
            FillingRefused: the daemon is not at it.
        """
        with self._lock:
            if (database, name) not in self._filling:
                raise FillingRefused(
                    f"the daemon is not filling {name}; a run's own ends with "
                    f"`shippyard ctl migrate cancel {database}`"
                )
            if child := self._filling[database, name]:
                child.interrupt()

    def start(self) -> None:
        """Nothing to do: they are begun when somebody asks."""

    def stop(self) -> None:
        """Stop every one between two batches; does not wait. Safe twice."""
        with self._lock:
            for child in filter(None, self._filling.values()):
                child.interrupt()

    def seen(self, database: str, event: Mapping[str, Any]) -> None:
        """A batch was done, by a run or by us: keep the figures true.

        What a run says is user code's word: it may say anything, and as much as it likes.
        """
        name, rows = event.get("backfill"), event.get("rows")
        if not (isinstance(name, str) and isinstance(rows, int)):
            return
        labels = (database, name[:NAME_MAX_CHARS])
        if labels not in self._named and len(self._named) >= NAMES_MAX:
            return
        self._named.add(labels)
        self._metrics.backfill_rows.labels(*labels).set(rows)
        self._metrics.backfill_moved_at.labels(*labels).set(self._clock.now().timestamp())
        estimate, seen = event.get("estimate"), event.get("seen")
        if isinstance(estimate, int) and isinstance(seen, int):
            self._metrics.backfill_left.labels(*labels).set(max(estimate - seen, 0))

    def _target(self, database: str) -> Target:
        target = self._targets.get(database)
        if target is None:
            raise FillingRefused(f"{database} has no migrator login; add migrator to its databases")
        return target

    def _standing_of(self, database: str) -> list[dict[str, Any]]:
        target = self._targets[database]
        if target is None:
            return []
        try:
            with connected(target, "look") as connection:
                found = Checkpoints(Server(connection)).all()
        except DBAPIError as error:
            log.warning("backfill.unknown", database=database, error=one_line(error.orig or error))
            return []
        return [{"database": database, **self._document(database, each)} for each in found]

    def _document(self, database: str, found: Checkpoint) -> dict[str, Any]:
        filling = (database, found.spec.name) in self._filling
        state = "done" if found.finished else "filling" if filling else "waiting"
        left = "" if found.finished else share(found.seen, found.estimate)
        return {**found.document(), "state": state, "left": left}

    def _fill(self, database: str, name: str, target: Target) -> None:
        last: Mapping[str, Any] = {}
        argv = own_module("shippyard.migration.backfill.child")
        asked = json.dumps({"conninfo": target.conninfo(), "name": name}).encode()
        try:
            with self._processes.start(argv, stdout=PIPE, pipe_stdin=True) as child:
                with self._lock:
                    self._filling[database, name] = child
                child.send(asked)
                for line in child.lines(FILL_TIMEOUT_S):
                    last = json.loads(line)
                    self.seen(database, last)
                child.wait(LAST_WORDS_S)
        except Exception as error:  # noqa: BLE001  whatever it was, it is said, and begun again by hand
            last = {"event": "failed", "message": one_line(error)}
        finally:
            with self._lock:
                del self._filling[database, name]
        outcome, said = last.get("event", "died"), last.get("message")
        log.info("backfill.ended", database=database, backfill=name, outcome=outcome, said=said)
