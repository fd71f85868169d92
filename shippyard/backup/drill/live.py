"""Owns what production says of itself while its backup is drilled, and what of it must come back.

What changed since the backup may come back either way, so only what is the same now is compared.
"""

from dataclasses import dataclass, replace

from shippyard.backup.manifest import Environment
from shippyard.backup.source import environment_of, source_of
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target


@dataclass(frozen=True)
class Live:
    """One look at production: its timeline, and what is around the data."""

    timeline: int | None
    environment: Environment


def look_at_live(target: Target | None) -> Live | None:
    """What production says now; None when it gives no answer."""
    if target is None:
        return None
    try:
        with session(target, "drill") as opened:
            return Live(source_of(opened).timeline, environment_of(opened))
    except (Unreachable, QueryFailed):
        return None


def comparable(recorded: Environment, live: Live | None) -> Environment:
    """What of a manifest's surroundings must be there after WAL up to now was replayed. Pure."""
    wanted = replace(recorded, preload_libraries=())
    if live is None:
        return wanted
    now = live.environment
    return replace(
        wanted,
        roles={n: a for n, a in recorded.roles.items() if now.roles.get(n) == a},
        role_settings={
            n: s for n, s in recorded.role_settings.items() if now.role_settings.get(n) == s
        },
        extensions=tuple(each for each in recorded.extensions if each in now.extensions),
    )
