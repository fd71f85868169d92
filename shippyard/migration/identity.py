"""Owns what an approval binds: one hash of a plan, where it runs, by what rules, its rehearsal.

Pure. Live facts (load, lags, the clock) never enter it: they are judged again at each attempt.
"""

import hashlib
import json
from collections.abc import Mapping

from shippyard.config.migration import Migration
from shippyard.migration.plan import Plan

BINDS_NOT = frozenset({"alembic_ini", "runner_socket", "squawk"})
"""Settings that say where things are on this machine, or ask for advice only."""


def plan_hash(
    plan: Plan,
    *,
    system_identifier: str,
    database: str,
    fingerprint: str | None,
    tools: Mapping[str, str],
    policy: Migration,
    rehearsal_hash: str | None,
) -> str:
    """Names a plan for one server under one policy: whatever changes of these changes it."""
    bound = {
        "content": plan.content_hash,
        "system_identifier": system_identifier,
        "database": database,
        "fingerprint": fingerprint,
        "tools": dict(tools),
        "policy": policy.model_dump(mode="json", exclude=set(BINDS_NOT)),
        "rehearsal": rehearsal_hash,
    }
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
