"""Owns what a store's refusal means, and what to do about it. Pure: it is given the words.

Stores answer in XML or JSON behind a sentence of the library's; only the code in it counts.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from shippyard.backup.offsite.objects import ObjectAbsent, ObjectExists, OffsiteFailed
from shippyard.host.secrets import mask

WRONG_SECRET = frozenset(
    {
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "AuthenticationFailed",
        "InvalidToken",
        "ExpiredToken",
        "invalid_grant",
        "Unauthorized",
    }
)
NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
NO_RIGHT = frozenset({"AccessDenied", "AuthorizationPermissionMismatch", "forbidden", "Forbidden"})
WRONG_CLOCK = frozenset({"RequestTimeTooSkewed"})
FULL = frozenset({"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull"})

_EXISTS = frozenset({"AlreadyExistsError", "PreconditionError"})
_CODE = re.compile(r'<Code>(\w+)</Code>|"(?:reason|error)":\s*"(\w+)"')
_STATUS = re.compile(r"status code: (\d{3})")
_RETAINED = re.compile(
    r"object lock|ObjectLocked|retention|Retention|WORM|BlobImmutable|objectUnderActiveHold"
)
_LONGEST = 300

Verb = Literal["write", "read", "list", "delete"]


@dataclass(frozen=True)
class Where:
    """How the store is called in config, and where it answers."""

    place: str
    bucket: str
    endpoint: str | None


def explain(error: BaseException, verb: Verb, where: Where) -> OffsiteFailed:
    """The library's error as one of ours: one line, without secrets."""
    said = str(error).split("\n\n", 1)[0]
    code, name = code_in(said), type(error).__name__
    # What was to be written is not missing: its bucket is.
    if code not in NO_BUCKET and verb != "write" and isinstance(error, FileNotFoundError):
        return ObjectAbsent(f"{where.place} has no such object")
    if name in _EXISTS:
        return ObjectExists(f"{where.place} has such an object already")
    if remedy := _remedy(code, name, verb, where):
        return OffsiteFailed(remedy, lasting=True)
    if "HTTP error" in said:
        return OffsiteFailed(_unreachable(said, where))
    return OffsiteFailed(f"{where.place} can't {verb}: {_one_line(said, code)}")


def _remedy(code: str, name: str, verb: Verb, where: Where) -> str | None:
    """What a person has to do; None when it is no refusal that we know."""
    known = (
        (code in NO_BUCKET or name == "FileNotFoundError", _no_bucket(where)),
        (code in WRONG_CLOCK, f"{where.place} says that our clock is wrong; set it"),
        (code in WRONG_SECRET or name == "UnauthenticatedError", _wrong_secret(where)),
        (code in NO_RIGHT or name == "PermissionDeniedError", _no_right(verb, where)),
        (code in FULL, f"{where.place} is full ({code}); give it room"),
    )
    return next((remedy for applies, remedy in known if applies), None)


def code_in(said: str) -> str:
    """The store's own code for what is wrong; its HTTP status when it gives none."""
    if match := _CODE.search(said):
        return next(group for group in match.groups() if group)
    status = _STATUS.search(said)
    return {"401": "Unauthorized", "403": "Forbidden"}.get(status.group(1), "") if status else ""


def is_retained(error: BaseException) -> bool:
    """Whether a refused delete was refused because the object must be kept."""
    return bool(_RETAINED.search(str(error).split("\n\n", 1)[0]))


def when(text: str | None) -> datetime | None:
    """A time as stores write it, or None; digits below a microsecond are dropped."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None


def _wrong_secret(where: Where) -> str:
    return (
        f"{where.place} refused the access key or its secret; mend what the credentials named in "
        "backup.offsite.access_key_credential and secret_key_credential hold"
    )


def _no_bucket(where: Where) -> str:
    at = f" at {where.endpoint}" if where.endpoint else ""
    return f"there is no bucket {where.bucket}{at}; make it, or mend backup.offsite.url"


def _no_right(verb: Verb, where: Where) -> str:
    return f"{where.place} doesn't let our key {verb} objects; grant it that right on the bucket"


def _unreachable(said: str, where: Where) -> str:
    why = said.rsplit("HTTP error:", 1)[-1].strip()
    at = f" at {where.endpoint}" if where.endpoint else ""
    return (
        f"{where.place} can't be reached{at} ({why}); "
        "look at the network and backup.offsite.endpoint"
    )


def _one_line(said: str, code: str) -> str:
    return mask(code or " ".join(said.split()))[:_LONGEST]
