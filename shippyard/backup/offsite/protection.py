"""Owns proving that what is in a store can't be deleted: by trying it on an object that may go.

What a bucket says of its settings proves nothing; that it refuses does.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shippyard.backup.offsite.objects import Kept, OffsiteFailed, Store
from shippyard.host.clock import Clock

PROBES = ".probe"
SWEPT_AT_ONCE = 50


@dataclass(frozen=True)
class Protection:
    """Whether copies can be deleted with the keys that made them, and how that is known."""

    state: Literal["proven", "none", "unknown"]
    detail: str
    until: datetime | None = None


def prove(store: Store, clock: Clock) -> Protection:
    """Put a small object and try to delete it. Probes of before go, as soon as they may.

    Raises:
        OffsiteFailed: the probe could not be put.
    """
    if not store.deletes_versions:
        return Protection("unknown", "locks are only tried with keys given as credentials")
    key = f"{PROBES}/{clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    store.put(key, b"Shippyard tries whether this can be deleted.\n")
    try:
        kept = store.delete(key)
    except OffsiteFailed as error:
        return Protection("unknown", f"a delete was refused for another reason: {error}")
    if not isinstance(kept, Kept):
        return Protection("none", "a probe could be deleted")
    _sweep(store, key)
    return Protection("proven", f"a probe could not be deleted: {kept}", kept.until)


def _sweep(store: Store, newest: str) -> None:
    for found in store.below(PROBES)[:SWEPT_AT_ONCE]:
        if found.key != newest:
            store.delete(found.key)
