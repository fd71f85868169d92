"""Owns how a step is taken: alone, politely, and with the catalog looked at before.

A step is one statement in a transaction of its own. A lock that is not free in time is given up,
so that nobody queues behind us for longer than `lock_timeout`, and asked for again. Refuses to know
what the statements are for.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

LOCK_ATTEMPTS = 30
RETRY_PAUSE_S = 1.0
LOCK_TIMEOUT = "200ms"  # where the session has none at all
CONCURRENT_TIMEOUT = "6h"  # the same; a build that waits for an old snapshot must end some day
IDENTIFIER_MAX_BYTES = 63
LOCK_NOT_FREE = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected

_pause = threading.Event()


class StepRefused(Exception):
    """A step can't be taken as things are; one line that says what to do first."""


class Steps:
    """Statements, each on its own, on the connection that Alembic was given.

    Without a database (`--sql`) they are written down instead, and nothing can be asked.
    """

    def __init__(self, context: MigrationContext) -> None:
        self._context = context
        asked = context.config.attributes if context.config else {}
        self._attempts = int(asked.get("lock_attempts", LOCK_ATTEMPTS))
        self._pause_s = float(asked.get("retry_pause_s", RETRY_PAUSE_S))

    @property
    def rendering(self) -> bool:
        """True when statements are only written down."""
        return self._context.as_sql

    def ask(self, question: str, **parameters: object) -> Mapping[str, Any] | None:
        """The first row of an answer, or None. Not for rendering."""
        row = op.get_bind().execute(sa.text(question), parameters).mappings().first()
        return dict(row) if row is not None else None

    def take(self, statement: str) -> None:
        """Run one statement; a lock that is busy is tried for again, a bounded number of times."""
        for attempt in range(1, self._attempts + 1):
            try:
                execute(statement)
            except DBAPIError as error:
                if sqlstate_of(error) not in LOCK_NOT_FREE or attempt == self._attempts:
                    raise
                # jitter, so that we do not meet a periodic transaction each time
                _pause.wait(self._pause_s * random.uniform(0.5, 1.5))  # noqa: S311  no secret
            else:
                return

    def take_concurrently(self, statement: str) -> None:
        """Run one CONCURRENTLY statement, which waits for others without being in their way.

        Giving up a lock there would leave an INVALID index, so `lock_timeout` is off meanwhile.
        """
        with self._setting("lock_timeout", lambda _: "0"):
            with self._setting("statement_timeout", lambda set_: or_else(set_, CONCURRENT_TIMEOUT)):
                execute(statement)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """No lock is waited for without an end, whoever made the connection."""
        with self._setting("lock_timeout", lambda set_: or_else(set_, LOCK_TIMEOUT)):
            yield

    @contextmanager
    def _setting(self, name: str, choose: Callable[[str], str]) -> Iterator[None]:
        if self.rendering:
            yield
            return
        before = self.ask(f"SELECT pg_catalog.current_setting('{name}') AS value")
        assert before is not None
        self._set(name, choose(str(before["value"])))
        try:
            yield
        finally:
            if not op.get_bind().invalidated:
                self._set(name, str(before["value"]))

    def _set(self, name: str, value: str) -> None:
        self.ask("SELECT pg_catalog.set_config(:name, :value, false)", name=name, value=value)


@contextmanager
def apart() -> Iterator[Steps]:
    """Steps outside the revision's transaction, which is committed first.

    So a revision that uses it does nothing else: what was before it would stay when it fails.
    """
    context = op.get_context()
    with context.autocommit_block():
        steps = Steps(context)
        with steps.bounded():
            yield steps


def execute(statement: str) -> None:
    """Run or write down one statement as it stands: a colon in it is a colon."""
    op.execute(sa.text(statement.replace(":", r"\:")))


def quoted(*names: str) -> str:
    """Identifiers as SQL has them, joined with commas.

    Raises:
        StepRefused: PostgreSQL would cut a name off.
    """
    for name in names:
        if len(name.encode()) > IDENTIFIER_MAX_BYTES:
            raise StepRefused(f"{name!r} is over {IDENTIFIER_MAX_BYTES} bytes; give a shorter name")
    quote = op.get_context().dialect.identifier_preparer.quote
    return ", ".join(quote(name) for name in names)


def qualified(name: str, schema: str | None) -> str:
    """A name in its schema, or as the search path finds it."""
    return f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)


def sqlstate_of(error: DBAPIError) -> str | None:
    """The server's code for what went wrong."""
    return getattr(error.orig, "sqlstate", None)


def or_else(setting: str, bound: str) -> str:
    """A timeout as it is set, or `bound` when it is unlimited."""
    return bound if setting == "0" else setting
