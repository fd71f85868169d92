"""Owns what each schema is expected to be, what a run left, and telling when it is not.

Looks read-only and bounded; nothing is mended. Until a run is done nothing is expected.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from shippyard.host.clock import Clock
from shippyard.migration.audit import Audit
from shippyard.postgres.schema_objects import (
    Difference,
    differences,
    fingerprint,
    read_objects,
)
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.state.database import State
from shippyard.state.notes import Notes
from shippyard.telemetry.condition import Condition, Tell
from shippyard.telemetry.metrics import Metrics

RULE = "schema_drift"
NOTE = "schema of "
LOOK_TIMEOUT_S = 30.0
SHOWN = 500

log = structlog.get_logger(__name__)


class DriftUnknown(Exception):
    """The schema can't be read, or is another one than was said; one line."""


@dataclass(frozen=True)
class Drift:
    """What was found beside what is expected; `expected` is None before the first run."""

    database: str
    expected: str | None
    found: str
    differences: tuple[Difference, ...]

    def document(self) -> dict[str, Any]:
        """For JSON: at most 500 differences are named."""
        return {
            "database": self.database,
            "expected": self.expected,
            "found": self.found,
            "count": len(self.differences),
            "differences": [str(each) for each in self.differences[:SHOWN]],
        }


class Drifts:
    """Every configured database's schema, as it should be. Safe from any thread."""

    def __init__(
        self,
        targets: Mapping[str, Target | None],
        state: State,
        clock: Clock,
        audit: Audit,
        *,
        metrics: Metrics,
        tell: Tell,
    ) -> None:
        """`targets` maps each database to its migrator login, which sees every object."""
        self._targets = targets
        self._notes = Notes(state)
        self._clock = clock
        self._audit = audit
        self._metrics = metrics
        self._tell = tell

    def expected(self, database: str) -> str | None:
        """The fingerprint that the last run left; None before one was done."""
        noted = self._notes.read(NOTE + database)
        return str(noted["fingerprint"]) if noted else None

    def expect_what_is(self, database: str) -> str:
        """From now on the schema is meant to be as it is; gives its fingerprint.

        Raises:
            DriftUnknown: it can't be read.
        """
        objects = self._objects(database)
        named = fingerprint(objects)
        noted = {"fingerprint": named, "objects": objects}
        self._notes.write(NOTE + database, noted, self._clock.now())
        self._show(Drift(database, named, named, ()))
        return named

    def accept(self, database: str, meant: str, by: str) -> None:
        """The same, when a person looked at it: only what they saw is accepted.

        Raises:
            DriftUnknown: it can't be read, or has changed since.
        """
        if fingerprint(self._objects(database)) != meant:
            raise DriftUnknown(f"the schema of {database} changed meanwhile; look at it again")
        found = self.expect_what_is(database)
        self._audit.record(by, "schema.accepted", database, {"fingerprint": found})

    def look(self, database: str) -> Drift:
        """Compare one now, and tell.

        Raises:
            DriftUnknown: it can't be read.
        """
        objects = self._objects(database)
        noted = self._notes.read(NOTE + database)
        if noted is None:
            return Drift(database, None, fingerprint(objects), ())
        found = Drift(
            database,
            noted["fingerprint"],
            fingerprint(objects),
            differences(noted["objects"], objects),
        )
        self._show(found)
        return found

    def look_at_all(self) -> str:
        """Compare every one that something is expected of; what can't be read is said.

        Raises:
            DriftUnknown: at least one can't be read.
        """
        unknown, drifted = [], []
        for database in sorted(self._targets):
            if self.expected(database) is None:
                continue
            try:
                drifted += [database] if self.look(database).differences else []
            except DriftUnknown as error:
                with contextlib.suppress(KeyError):
                    self._metrics.schema_differences.remove(database)
                unknown.append(str(error))
        if unknown:
            raise DriftUnknown("; ".join(unknown))
        return f"drifted: {', '.join(drifted)}" if drifted else "every schema is as it should be"

    def _objects(self, database: str) -> dict[str, str]:
        target = self._targets.get(database)
        if target is None:
            raise DriftUnknown(f"{database} has no migrator login; add migrator to its databases")
        try:
            with session(target, "schema") as opened:
                return read_objects(lambda asked: opened.query(asked, timeout_s=LOOK_TIMEOUT_S))
        except (Unreachable, QueryFailed) as error:
            raise DriftUnknown(f"the schema of {database} can't be read: {error}") from None

    def _show(self, found: Drift) -> None:
        count = len(found.differences)
        self._metrics.schema_differences.labels(found.database).set(count)
        now = self._clock.now().timestamp()
        self._metrics.schema_looked_at.labels(found.database).set(now)
        said = f"{count} objects differ: {found.differences[0]}" if count else None
        self._tell(Condition(RULE, found.database, said, "ticket", found.document()))
        if said:
            log.warning("schema.drift", database=found.database, objects=count, first=said)
