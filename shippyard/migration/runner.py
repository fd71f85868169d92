"""Owns being the one who migrates: `python -m shippyard.migration.runner`, one child per run.

Reads a `RunSpec` from stdin, takes the lock or is refused, says what it does in JSON lines on
stdout, and never decides whether a run may happen. How revisions are taken is `applying`'s.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from shippyard.host.secrets import remember
from shippyard.migration.child import Emit, claim_stdout, said
from shippyard.migration.connecting import connect_apart
from shippyard.migration.plan import PlanRefused
from shippyard.migration.spec import SPEC_MAX_BYTES, RunSpec
from shippyard.migration.stopping import Interrupted, LastWord
from shippyard.migration.tree import differences
from shippyard.postgres.locks import BACKUP_LOCK, MIGRATION_KEY, SHARED, holders_question

if TYPE_CHECKING:
    from shippyard.migration.applying import RevisionFailed

IDLE_SESSION_SINCE = 140_000
GUARD_OPTIONS = "-c lock_timeout=5s -c statement_timeout=60s"


class LockHeld(Exception):
    """Somebody else is migrating this database."""


class Failed(Exception):
    """The run ends here; `document` is its last word."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document["message"])
        self.document = document


def run(spec: RunSpec, emit: Emit) -> None:
    """Hold the lock, take every step, let go.

    Raises:
        LockHeld, PlanRefused, Failed, psycopg.Error: said in one line each.
    """
    changed = differences(Path(spec.copy), spec.hashes)
    if changed:
        raise PlanRefused(f"files changed after the plan: {', '.join(changed)}; plan again")
    # A connection of its own, outside any transaction: a snapshot held here, or a wait for the
    # lock, would deadlock a concurrent index build.
    name = f"shippyard:migrate-lock:{spec.run_id}"
    with connect_apart(spec.conninfo, name, _guard_options(spec)) as guard:
        _take_lock(guard)
        emit({"event": "locked"})
        _apply(spec, guard, emit)


def _apply(spec: RunSpec, guard: psycopg.Connection[dict[str, Any]], emit: Emit) -> None:
    # Loaded by the one who has the lock: of ten that begin at once, nine are refused before.
    from shippyard.migration.applying import Applying, RevisionFailed  # noqa: PLC0415

    try:
        Applying(spec, guard, emit).all()
    except RevisionFailed as error:
        raise Failed(_last_word_of(error)) from error


def _last_word_of(error: "RevisionFailed") -> Mapping[str, Any]:
    return {
        "event": "failed",
        "message": f"{error.revision}: {error}",
        "revision": error.revision,
        "sqlstate": error.sqlstate,
        "half_applied": error.half_applied,
    }


def _take_lock(guard: psycopg.Connection[dict[str, Any]]) -> None:
    ask = partial(_ask, guard)
    if not ask(f"SELECT pg_catalog.pg_try_advisory_lock({MIGRATION_KEY}) AS taken")[0]["taken"]:
        raise LockHeld(_why_held(ask(holders_question(MIGRATION_KEY))))


def _ask(guard: psycopg.Connection[dict[str, Any]], question: str) -> Sequence[Mapping[str, Any]]:
    return guard.execute(question.encode()).fetchall()


def _guard_options(spec: RunSpec) -> str:
    """A role may be told to end idle sessions; this one idles on purpose."""
    idle = " -c idle_session_timeout=0" if spec.server_version >= IDLE_SESSION_SINCE else ""
    return GUARD_OPTIONS + idle


def _why_held(holders: Sequence[Mapping[str, Any]]) -> str:
    """Who is in the way: a runner holds the lock alone, backups share it."""
    if holders and holders[0]["mode"] == SHARED:
        backup = str(holders[0]["name"]).removeprefix(f"shippyard:{BACKUP_LOCK}:")
        return f"the backup {backup} of this database is being taken; wait until it is done"
    return "another runner migrates this database; wait until it is done"


def main() -> int:
    """Read a spec from stdin, run it, say how it ended."""
    emit = claim_stdout()
    last = LastWord(emit)
    last.listen()
    try:
        spec = RunSpec.from_json(sys.stdin.buffer.read(SPEC_MAX_BYTES))
        remember(str(spec.conninfo.get("password", "")))
        run(spec, emit)
        last.say({"event": "done"})
    except Interrupted:
        last.say({"event": "interrupted"})
    except LockHeld as error:
        last.say({"event": "refused", "message": str(error)})
    except Failed as error:
        last.say(error.document)
    except (PlanRefused, psycopg.Error) as error:
        last.say({"event": "failed", "message": said(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
