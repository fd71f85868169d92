"""Owns what the history in a manifest means: who holds the backup, its copies, drills and damage.

Pure. A backup's row can be made again from its manifest alone.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shippyard.backup.manifest import Event, Manifest
from shippyard.backup.model import Backup, settled

HISTORY_MAX = 1000
"""Events kept in a manifest; of more, the oldest go."""


def with_event(manifest: Manifest, event: Event) -> Manifest:
    """The manifest after one more thing happened to its backup."""
    history = (*manifest.history, event)[-HISTORY_MAX:]
    changed = replace(manifest, history=history)
    if event.what == "held":
        return replace(changed, held_by=event.detail)
    return replace(changed, held_by=None) if event.what == "released" else changed


def as_manifested(manifest: Manifest) -> Backup:
    """The row of a backup whose files are whole, by its manifest alone."""
    backup = Backup(
        id=manifest.id,
        database=manifest.database,
        kind=manifest.kind,
        state="published",
        reason=manifest.reason,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        duration_s=manifest.duration_s,
        size_bytes=manifest.size_bytes,
        held_by=manifest.held_by,
        parent=manifest.parent,
        replicated_at=_last(manifest.history, "replicated"),
        drilled_at=_last(manifest.history, "drilled", but_for="drill_failed"),
    )
    if damaged := known_damage(manifest):
        return replace(backup, state="damaged", error=damaged)
    return settled(backup)


def known_damage(manifest: Manifest) -> str | None:
    """What the last look found wrong, when nothing was found well since."""
    looks = [event for event in manifest.history if event.what in ("damaged", "verified")]
    return f"damaged: {looks[-1].detail}" if looks and looks[-1].what == "damaged" else None


def _last(history: Iterable[Event], what: str, *, but_for: str | None = None) -> datetime | None:
    """When `what` last happened, unless `but_for` did since."""
    at: datetime | None = None
    for event in history:
        if event.what == what:
            at = event.at
        elif event.what == but_for:
            at = None
    return at
