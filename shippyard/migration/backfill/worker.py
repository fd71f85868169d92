"""Owns the course of a backfill: batch, pause, batch, from where it stopped to the last row.

Every batch is a transaction of its own, so it may be ended anywhere: at worst the batch that was
under way is done again. One worker at a time has a backfill.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shippyard.host.clock import Clock
from shippyard.migration.backfill.checkpoint import Checkpoint, Checkpoints
from shippyard.migration.backfill.course import Course, Means, Patience
from shippyard.migration.backfill.keys import KEY_SETTINGS, Table, find_table
from shippyard.migration.backfill.progress import Reporter, Tell
from shippyard.migration.backfill.server import Server, sqlstate_of, written
from shippyard.migration.backfill.spec import BackfillRefused, Spec
from shippyard.migration.backfill.throttle import ROWS_FIRST, Limits
from shippyard.postgres.locks import backfill_key, holders_question

ROUNDS_MAX = 3
TURN_WAIT_S = 5.0
TURN_POLL_S = 0.1
NOT_ALLOWED = "42501"  # insufficient_privilege, and hidden by a policy

SETTINGS = {
    **KEY_SETTINGS,
    # Filtering by a policy must be an error, never an UPDATE of no rows.
    "row_security": "off",
    # While it waits for one row it holds others; shorter than the server's look for deadlocks.
    "lock_timeout": "100ms",
}


class Worker:
    """Fills on one connection, in autocommit, of somebody else's. Used by one thread."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        tell: Tell,
        patience: Patience | None = None,
    ) -> None:
        self._server = Server(connection)
        self._checkpoints = Checkpoints(self._server)
        self._clock = clock
        self._tell = tell
        self._means = Means(self._server, clock, patience or Patience())

    def register(self, spec: Spec) -> Checkpoint:
        """Write a backfill down, for a worker to come; finds the one that is there.

        Raises:
            BackfillRefused: it can't be done, or other work has that name.
        """
        with self._settings(spec):
            return self._register(spec, find_table(self._server, spec))

    def run(self, spec: Spec) -> Checkpoint:
        """Fill what is left to fill; returns when nothing is.

        Raises:
            BackfillRefused: as `register`; or another worker is at it, the table is hidden by a
                policy, or a replica lagged for half an hour.
            DBAPIError: the server refused, or rows were locked for too long.
        """
        with self._settings(spec):
            table = find_table(self._server, spec)
            checkpoint = self._register(spec, table)
            if checkpoint.finished:
                return checkpoint
            with self._turn(spec.name):
                # what another worker did before it let us
                return self._fill(table, self._again(spec.name), spec.limits)

    def _register(self, spec: Spec, table: Table) -> Checkpoint:
        self._checkpoints.make()
        return self._checkpoints.register(spec, ROWS_FIRST, table.estimate)

    @contextmanager
    def _settings(self, spec: Spec) -> Iterator[None]:
        try:
            with self._server.settings(**SETTINGS):
                yield
        except DBAPIError as error:
            if sqlstate_of(error) != NOT_ALLOWED:
                raise
            said = " ".join(str(error.orig).split())
            raise BackfillRefused(
                f"backfill {spec.name}: {said}; run it as the table's owner, with BYPASSRLS"
            ) from error

    def _fill(self, table: Table, checkpoint: Checkpoint, limits: Limits) -> Checkpoint:
        course = Course(self._means, table, limits, checkpoint.batch_rows)
        reporter = Reporter(self._clock, self._tell, checkpoint)
        while not checkpoint.finished:
            after = course.batch(checkpoint)
            checkpoint = after or self._end_round(checkpoint)
            reporter.moved(checkpoint)
        reporter.done(checkpoint)
        return checkpoint

    def _end_round(self, checkpoint: Checkpoint) -> Checkpoint:
        name = checkpoint.spec.name
        found = self._again(name)
        if wants_another_round(found):
            self._checkpoints.next_round(found)
        else:
            self._checkpoints.finish(name)
        return self._again(name)

    def _again(self, name: str) -> Checkpoint:
        found = self._checkpoints.get(name)
        if found is None:
            raise BackfillRefused(f"backfill {name} was forgotten meanwhile; begin again")
        return found

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Being the only worker; one that was killed may need a moment to be gone."""
        key = backfill_key(name)
        deadline_s = self._clock.monotonic() + TURN_WAIT_S
        while not self._took(key):
            if self._clock.monotonic() > deadline_s:
                raise BackfillRefused(f"backfill {name} is under way: {self._holder(key)}")
            self._means.wait(TURN_POLL_S)
        try:
            yield
        finally:
            with suppress(DBAPIError):
                self._server.ask(written(f"SELECT pg_catalog.pg_advisory_unlock({key})"))

    def _took(self, key: int) -> bool:
        question = f"SELECT pg_catalog.pg_try_advisory_lock({key}) AS taken"
        return bool(self._server.ask(written(question))[0]["taken"])

    def _holder(self, key: int) -> str:
        holders = self._server.ask(written(holders_question(key)))
        return f"{holders[0]['name']}, server process {holders[0]['pid']}" if holders else "others"


def wants_another_round(checkpoint: Checkpoint) -> bool:
    """Whether rows that came behind the batches may be left.

    Only where the change makes a row stop being due: then a row that is due was not changed yet.
    """
    ends_itself = checkpoint.round_rows > 0 and checkpoint.still_due == 0
    return bool(checkpoint.spec.where) and ends_itself and checkpoint.round < ROUNDS_MAX
