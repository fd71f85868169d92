"""Owns what S3 does that the storage library can't: deleting every version of an object.

In a bucket with versions a plain delete only hides an object, and is allowed while it is locked.
Only a delete of the version itself frees space, and only its refusal proves a lock. Requests are
signed here (Signature Version 4) with the same keys; there is one request at a time, and no more.
"""

import hashlib
import hmac
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from shippyard.backup.offsite.faults import when
from shippyard.backup.offsite.objects import Kept
from shippyard.host.clock import Clock

PAGES_MAX = 100
_NOT_OFFERED = frozenset({400, 404, 405, 501})
_GONE = frozenset({200, 204, 404})
_REFUSED = 403


class RequestFailed(Exception):
    """The store did not do it, in the words of its answer."""


@dataclass(frozen=True)
class Keys:
    """Who asks."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Request:
    """What is asked; `path` and `query` are quoted, and the query is sorted."""

    method: str
    host: str
    path: str
    query: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Versions:
    """The versions of objects in one bucket."""

    def __init__(
        self, endpoint: str, bucket: str, region: str, keys: Keys, *, clock: Clock, timeout_s: float
    ) -> None:
        self._url = urlsplit(endpoint)
        self._bucket = bucket
        self._region = region
        self._keys = keys
        self._clock = clock
        self._timeout_s = timeout_s

    def delete_all(self, key: str) -> Kept | None:
        """Delete every version of `key`, hiding marks too; `Kept` when one must be kept.

        Raises:
            RequestFailed: refused for another reason.
            OSError, http.client.HTTPException: the store did not answer.
        """
        kept = None
        for version in self._versions_of(key):
            kept = self._delete(key, version) or kept
        return kept

    def _versions_of(self, key: str) -> list[str]:
        """Ids of the key's versions; a store without versions has the one without a name."""
        found: list[str] = []
        marks: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            answer = self._ask("GET", "", {"versions": "", "prefix": key, **marks})
            if answer.status in _NOT_OFFERED:
                return ["null"]
            _refuse_failure(answer)
            # The store is the one that config names; expat expands nothing without bound.
            root = ET.fromstring(answer.body)  # noqa: S314  see above
            found += _ids_in(root, key)
            if _text(root, "IsTruncated") != "true":
                return found
            marks = {
                "key-marker": _text(root, "NextKeyMarker"),
                "version-id-marker": _text(root, "NextVersionIdMarker"),
            }
            if marks["key-marker"] > key:
                return found
        return found

    def _delete(self, key: str, version: str) -> Kept | None:
        answer = self._ask("DELETE", key, {"versionId": version})
        if answer.status in _GONE:
            return None
        if answer.status == _REFUSED and (kept := self._retention(key, version, answer)):
            return kept
        raise RequestFailed(_said(answer))

    def _retention(self, key: str, version: str, refusal: _Answer) -> Kept | None:
        """Until when the version is locked; None when the refusal was for another reason."""
        headers = self._ask("HEAD", key, {"versionId": version}).headers
        if until := when(headers.get("x-amz-object-lock-retain-until-date")):
            return Kept(until) if until > self._clock.now() else None
        held = headers.get("x-amz-object-lock-legal-hold") == "ON"
        return Kept(None) if held or b"object lock" in refusal.body else None

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> _Answer:
        path = quote("/".join(part for part in (self._bucket, key) if part))
        path = f"{self._url.path.rstrip('/')}/{path}"
        line = urlencode(sorted(query.items()), quote_via=quote, safe="")
        request = Request(method, self._url.netloc, path, line)
        headers = signed_headers(request, self._region, self._keys, self._clock.now())
        kind = (
            http.client.HTTPConnection
            if self._url.scheme == "http"
            else http.client.HTTPSConnection
        )
        link = kind(self._url.netloc, timeout=self._timeout_s)
        try:
            link.request(method, f"{path}?{line}", headers=headers)
            answer = link.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return _Answer(answer.status, fields, answer.read())
        finally:
            link.close()


def signed_headers(request: Request, region: str, keys: Keys, now: datetime) -> dict[str, str]:
    """The request's headers with those that prove who asks, and what."""
    stamp, content = f"{now:%Y%m%dT%H%M%SZ}", hashlib.sha256(request.body).hexdigest()
    proving = {"host": request.host, "x-amz-content-sha256": content, "x-amz-date": stamp}
    headers = dict(sorted({**proving, **request.headers}.items()))
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    asked = f"{request.method}\n{request.path}\n{request.query}\n{lines}\n{names}\n{content}"
    scope = (stamp[:8], region, "s3", "aws4_request")
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope:
        key = _hmac(key, part)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{digest}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={names}, Signature={_hmac(key, to_sign).hex()}"
    )
    return headers


def _ids_in(root: ET.Element, key: str) -> list[str]:
    """Versions and hiding marks of exactly `key`: the listing is by prefix."""
    return [
        _text(each, "VersionId")
        for each in root
        if _plain(each.tag) in {"Version", "DeleteMarker"} and _text(each, "Key") == key
    ]


def _text(element: ET.Element, name: str) -> str:
    return next((each.text or "" for each in element if _plain(each.tag) == name), "")


def _plain(tag: str) -> str:
    """A tag without its namespace, which not every store gives."""
    return tag.rsplit("}", 1)[-1]


def _refuse_failure(answer: _Answer) -> None:
    if answer.status not in _GONE:
        raise RequestFailed(_said(answer))


def _said(answer: _Answer) -> str:
    """As the storage library says it, so that there is one reading of it."""
    words = re.sub(r"\s+", " ", answer.body.decode(errors="replace"))
    return f"status code: {answer.status} {words}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
