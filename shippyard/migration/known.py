"""Owns what is known of a plan beside itself: its hazards, its rehearsal, and the hash of it all.

The hash is what an approval is of. Live facts are not part of it: they are judged at each attempt.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

import structlog

from shippyard.migration.hazards import find_hazards
from shippyard.migration.hazards.model import Hazard
from shippyard.migration.identity import plan_hash
from shippyard.migration.plan import Plan
from shippyard.migration.planner import Prepared
from shippyard.migration.rehearsal.report import Report
from shippyard.postgres.session import one_line

Advise = Callable[[tuple[Hazard, ...], Plan], tuple[Hazard, ...]]
"""Adds another program's advice to the hazards of a plan."""

CONTENTS_KEPT = 16
_seen_before: dict[str, tuple[Hazard, ...]] = {}

TOOLS = ("shippyard", "alembic", "sqlalchemy", "psycopg")

log = structlog.get_logger(__name__)


class Rehearsals(Protocol):
    """Who remembers rehearsals."""

    def newest(self, database: str, content_hash: str) -> Report | None:
        """The newest one of this content that found something out, or None."""
        ...


@dataclass(frozen=True)
class Known:
    """A plan with what is known of it. `rehearsal_known` is False when nobody could be asked."""

    prepared: Prepared
    hazards: tuple[Hazard, ...]
    rehearsal: Report | None
    rehearsal_known: bool
    plan_hash: str


def what_is_known(prepared: Prepared, rehearsals: Rehearsals, advise: Advise) -> Known:
    """Look the plan's text over, have `advise` add to what was found, ask for its rehearsal."""
    report, known = _rehearsal(prepared, rehearsals)
    plan, seen = prepared.plan, prepared.seen
    return Known(
        prepared,
        advise(_hazards(prepared), plan),
        report,
        known,
        plan_hash(
            plan,
            system_identifier=seen.system_identifier,
            database=plan.database,
            fingerprint=seen.fingerprint,
            tools=tools_of(seen.server_version),
            policy=prepared.policy,
            rehearsal_hash=report.report_hash if report else None,
        ),
    )


def _hazards(prepared: Prepared) -> tuple[Hazard, ...]:
    """Reading a long plan takes most of a second, and the same content gives the same again."""
    content = prepared.plan.content_hash
    found = _seen_before.get(content)
    if found is None:
        found = find_hazards(prepared.plan, prepared.tree.files)
        for oldest in list(_seen_before)[: -CONTENTS_KEPT + 1]:
            _seen_before.pop(oldest, None)
        _seen_before[content] = found
    return found


def tools_of(server_version: int) -> Mapping[str, str]:
    """Versions of everything that has a part in what a plan does."""
    ours = {name: version(name) for name in TOOLS}
    python = ".".join(map(str, sys.version_info[:2]))
    return {**ours, "python": python, "server": str(server_version)}


def _rehearsal(prepared: Prepared, rehearsals: Rehearsals) -> tuple[Report | None, bool]:
    plan = prepared.plan
    try:
        return rehearsals.newest(plan.database, plan.content_hash), True
    except Exception as error:  # noqa: BLE001  whatever the store's trouble, the fact is unknown
        log.warning("migration.rehearsal_unknown", database=plan.database, error=one_line(error))
        return None, False
