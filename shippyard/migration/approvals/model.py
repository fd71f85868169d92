"""Owns what an approval is, and what those of one plan are worth together. Pure.

The requester's and the runner's own yes count for nothing; nor do root's, and that of the user whom
the kernel could not name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ApprovalKind = Literal["request", "approve", "reject", "emergency"]

NOBODYS_UIDS = frozenset({0, 65534})
"""Root is everyone with sudo; the overflow id is everyone a user namespace does not map."""


@dataclass(frozen=True)
class Approval:
    """One word on one plan: who asked for it, said yes, or said no.

    `overrides` are gates that this yes lets pass; `spent_by` is the run that used it up.
    """

    id: int
    at: datetime
    database: str
    kind: ApprovalKind
    plan_hash: str
    content_hash: str
    uid: int
    user: str
    reason: str
    overrides: tuple[str, ...]
    expires_at: datetime
    spent_by: str | None


@dataclass(frozen=True)
class Standing:
    """What all words on a plan come to, for the one who is about to run it.

    `emergency` is true when another person said yes to an emergency. `expires_at` is when the
    first of the approvals that are counted ends.
    """

    granted: bool
    missing: int
    by: tuple[str, ...]
    overrides: frozenset[str]
    emergency: bool
    rejected_by: str | None
    requested_by: str | None = None
    expires_at: datetime | None = None


def standing(
    approvals: Sequence[Approval], plan_hash: str, runner_uid: int, now: datetime, needed: int
) -> Standing:
    """What the words on a plan are worth when `runner_uid` runs it; `needed` people must agree."""
    about = [each for each in approvals if each.plan_hash == plan_hash and each.spent_by is None]
    counted = list(_counted(about, runner_uid, now))
    by = {each.uid: each for each in counted}
    rejected = _rejected(about)
    missing = max(needed - len(by), 0)
    return Standing(
        granted=missing == 0 and rejected is None,
        missing=missing,
        by=tuple(each.user for each in by.values()),
        overrides=frozenset(gate for each in counted for gate in each.overrides),
        emergency=rejected is None and any(each.kind == "emergency" for each in counted),
        rejected_by=rejected,
        requested_by=_requester(about),
        expires_at=min((each.expires_at for each in counted), default=None),
    )


def _counted(about: Iterable[Approval], runner_uid: int, now: datetime) -> Iterator[Approval]:
    """The yeses that count, oldest first: since the last no, of others than who asked or runs."""
    about = sorted(about, key=lambda each: each.id)
    voided = max((each.id for each in about if each.kind == "reject"), default=0)
    own = {runner_uid, *(each.uid for each in about if each.kind == "request")} | NOBODYS_UIDS
    for each in about:
        holds = each.id > voided and now < each.expires_at
        if each.kind in ("approve", "emergency") and each.uid not in own and holds:
            yield each


def _rejected(about: Sequence[Approval]) -> str | None:
    """Who said no last, when nobody asked again since."""
    words = [each for each in about if each.kind in ("request", "reject")]
    newest = max(words, key=lambda each: each.id, default=None)
    return newest.user if newest and newest.kind == "reject" else None


def _requester(about: Sequence[Approval]) -> str | None:
    asked = [each for each in about if each.kind == "request"]
    return max(asked, key=lambda each: each.id).user if asked else None
