"""Owns deleting WAL that no kept base backup needs; which that is, retention decides."""

from collections.abc import Sequence

import structlog

from shippyard.backup.keepable import WalUser
from shippyard.backup.retention import select_expired_wal
from shippyard.backup.wal.archive import WalArchive

log = structlog.get_logger(__name__)


def prune_wal(
    archive: WalArchive, bases: Sequence[WalUser], *, frozen: str | None, apply: bool
) -> list[str]:
    """Names of the WAL that goes, deleted if `apply`. `bases` are all base backups that stay.

    Raises:
        OSError: it can't be deleted.
    """
    judged = select_expired_wal(sorted(archive.kept().entries), bases, frozen=frozen)
    names = [each.name for each in judged if not each.keep]
    if names and apply:
        archive.remove(names)
        log.info("wal.deleted", subject=archive.subject, count=len(names), last=names[-1])
    return names
