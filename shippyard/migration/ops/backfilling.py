"""Owns filling columns of rows that are there, from a revision: in batches, from where it stopped.

How the batches go is the backfill's own business; here it meets Alembic.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alembic import op
from alembic.runtime.migration import MigrationContext

from shippyard.host.clock import SystemClock
from shippyard.migration.backfill.batch import plain_statement
from shippyard.migration.backfill.checkpoint import Checkpoints, forget, unfinished
from shippyard.migration.backfill.course import Patience
from shippyard.migration.backfill.progress import to_log
from shippyard.migration.backfill.server import Server
from shippyard.migration.backfill.spec import BackfillRefused, Spec
from shippyard.migration.backfill.throttle import Limits
from shippyard.migration.backfill.worker import Worker
from shippyard.migration.ops.steps import (
    LOCK_ATTEMPTS,
    RETRY_PAUSE_S,
    StepRefused,
    apart,
    execute,
    qualified,
)

DEFAULT = Limits()


def backfill(
    name: str,
    table: str,
    set_: Mapping[str, str],
    *,
    where: str | None = None,
    schema: str | None = None,
    target_ms: float = DEFAULT.target_ms,
    duty: float = DEFAULT.duty,
    max_lag_s: float | None = DEFAULT.max_lag_s,
    wal_max_bytes_s: float | None = DEFAULT.wal_max_bytes_s,
    background: bool = False,
) -> None:
    """Set columns to SQL expressions in the rows that `where` picks, batch by batch.

    Locks: ROW EXCLUSIVE on the table, and the rows of one batch for about `target_ms`. It works
    `duty` of the time, waits while a replica is more than `max_lag_s` behind, goes slower when
    sessions wait for locks or more WAL than `wal_max_bytes_s` is written. None lifts a limit.

    How far it came is committed with each batch, under `name`. A second try goes on there; a
    finished one finds nothing to do. Each row is changed once. With a `where` that a changed row
    no longer fits, rows that were inserted behind the batches are looked for at the end.

    `background` only writes it down: `shippyard migration backfill` does it, and a later revision
    asks with `require_backfill`. Taken back by `forget_backfill`, which leaves the values.

    Raises:
        StepRefused: no primary key, other work under that name, another worker at it, hidden rows.
    """
    with _refusals():
        limits = Limits(target_ms, duty, max_lag_s, wal_max_bytes_s)
        spec = Spec(name, qualified(table, schema), set_, where, limits)
        context = op.get_context()
        if context.as_sql:
            _write_down(context, spec)
            return
        with apart():
            worker = _worker(context)
            if background:
                worker.register(spec)
            else:
                worker.run(spec)


def require_backfill(name: str) -> None:
    """Do nothing where a backfill is finished. Takes no lock; nothing to take back.

    Raises:
        StepRefused: it is not; says what to run.
    """
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(f"-- what comes next needs the backfill {name} to be finished")
        return
    why = unfinished(Checkpoints(Server(op.get_bind())).get(name), name)
    if why:
        raise StepRefused(why)


def forget_backfill(name: str) -> None:
    """Forget how far a backfill came, for downgrades: done again, it begins at the first row.

    Part of the revision's own transaction. Values that were filled stay.
    """
    execute(forget(name))


def _worker(context: MigrationContext) -> Worker:
    asked = context.config.attributes if context.config else {}
    patience = Patience(
        attempts=int(asked.get("lock_attempts", LOCK_ATTEMPTS)),
        pause_s=float(asked.get("retry_pause_s", RETRY_PAUSE_S)),
    )
    return Worker(op.get_bind(), SystemClock(), asked.get("progress", to_log), patience)


def _write_down(context: MigrationContext, spec: Spec) -> None:
    context.impl.static_output(
        f"-- backfill {spec.name}: on a database it goes in small batches; as text it is one "
        "statement,\n-- which locks every row it changes until it ends"
    )
    execute(plain_statement(spec))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (BackfillRefused, ValueError) as error:
        raise StepRefused(str(error)) from error
