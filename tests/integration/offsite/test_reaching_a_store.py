"""The store's own file against something that speaks S3: answers, silence, versions, locks."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from shippyard.backup.offsite.objects import (
    Kept,
    ObjectAbsent,
    ObjectExists,
    OffsiteFailed,
    OffsiteStopped,
    Store,
)
from shippyard.backup.offsite.store import open_store
from shippyard.config.models import Offsite
from tests.conftest import Eventually, FakeClock

RETRIES = 2


@dataclass
class Bucket:
    """What the server holds, and how it behaves."""

    objects: dict[str, list[bytes]] = field(default_factory=dict)
    """Versions by key, oldest first."""
    refuse: str | None = None
    failures: int = 0
    silent: threading.Event = field(default_factory=threading.Event)
    locked_until: str | None = None
    asked: list[str] = field(default_factory=list)


class Answers(BaseHTTPRequestHandler):
    """As much of S3 as we use."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_GET(self) -> None:
        key, query = self._asked()
        if self._misbehaves():
            return
        if "versions" in query:
            self._say(200, self._versions(query["prefix"][0]))
        elif "list-type" in query:
            self._say(200, self._listed(query))
        elif not (versions := self.bucket.objects.get(key)):
            self._refuse(404, "NoSuchKey")
        elif bounds := self.headers.get("range"):
            first, last = map(int, bounds.removeprefix("bytes=").split("-"))
            whole = versions[-1]
            part = whole[first : last + 1]
            said = f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
            self._say(206, part, {"Content-Range": said})
        else:
            self._say(200, versions[-1])

    def do_PUT(self) -> None:
        key, _ = self._asked()
        data = self.rfile.read(int(self.headers["content-length"]))
        if self._misbehaves():
            return
        if self.headers.get("if-none-match") == "*" and key in self.bucket.objects:
            self._refuse(412, "PreconditionFailed")
            return
        self.bucket.objects.setdefault(key, []).append(data)
        self._say(200, b"", {"ETag": '"1"'})

    def do_DELETE(self) -> None:
        key, query = self._asked()
        if self._misbehaves():
            return
        if self.bucket.locked_until:
            self._refuse(403, "AccessDenied")
            return
        assert "versionId" in query
        self.bucket.objects.pop(key, None)
        self._say(204, b"")

    def do_HEAD(self) -> None:
        self._asked()
        until = self.bucket.locked_until
        self._say(200, b"", {"x-amz-object-lock-retain-until-date": until} if until else {})

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        self.bucket.asked.append(f"{self.command} {self.path}")
        assert "AWS4-HMAC-SHA256 Credential=ACCESS/" in self.headers["authorization"]
        return unquote(url.path).removeprefix("/vault/"), parse_qs(url.query, True)

    def _misbehaves(self) -> bool:
        if self.bucket.silent.is_set():
            time.sleep(3)
            self.close_connection = True
            return True
        if self.bucket.failures:
            self.bucket.failures -= 1
            self._refuse(503, "SlowDown")
            return True
        if self.bucket.refuse:
            self._refuse(403, self.bucket.refuse)
            return True
        return False

    def _versions(self, prefix: str) -> bytes:
        found = "".join(
            f"<Version><Key>{key}</Key><VersionId>v{n}</VersionId></Version>"
            for key, versions in sorted(self.bucket.objects.items())
            for n in range(len(versions))
            if key.startswith(prefix)
        )
        more = "<IsTruncated>false</IsTruncated>"
        return f"<ListVersionsResult>{more}{found}</ListVersionsResult>".encode()

    def _listed(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.bucket.objects if key.startswith(prefix))
        if "delimiter" in query:
            tops = sorted({prefix + k[len(prefix) :].split("/")[0] + "/" for k in keys})
            said = "".join(f"<CommonPrefixes><Prefix>{t}</Prefix></CommonPrefixes>" for t in tops)
        else:
            said = "".join(
                f"<Contents><Key>{k}</Key><Size>{len(self.bucket.objects[k][-1])}</Size>"
                "<LastModified>2026-03-04T05:06:07.000Z</LastModified></Contents>"
                for k in keys
            )
        more = "<IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{more}{said}</ListBucketResult>".encode()

    def _refuse(self, status: int, code: str) -> None:
        self._say(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        fields = {"Last-Modified": "Wed, 04 Mar 2026 05:06:07 GMT", "ETag": '"1"'}
        for name, value in {**fields, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests say what happened."""


@pytest.fixture
def server_bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def endpoint(server_bucket: Bucket) -> Iterator[str]:
    handler = type("Handler", (Answers,), {"bucket": server_bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remote(
    endpoint: str, clock: FakeClock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    (tmp_path / "access").write_text("ACCESS\n")
    (tmp_path / "secret").write_text("long-secret\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    settings = Offsite(
        url="s3://vault/below/here",
        endpoint=endpoint,
        allow_http=True,
        access_key_credential="access",
        secret_key_credential="secret",
        retry_max=RETRIES,
        timeout_s=1.0,
    )
    opened = open_store(settings, clock)
    yield opened
    opened.close()


def test_objects_there_and_back(remote: Store, server_bucket: Bucket) -> None:
    remote.put("shop/a/parts/1", b"one")
    remote.put("shop/b/index.json", b"two, longer")
    assert server_bucket.objects.keys() == {
        "below/here/shop/a/parts/1",
        "below/here/shop/b/index.json",
    }
    assert remote.get("shop/a/parts/1") == b"one"
    assert remote.get("shop/b/index.json", first_bytes=3) == b"two"
    assert [(f.key, f.size_bytes) for f in remote.below("shop")] == [
        ("shop/a/parts/1", 3),
        ("shop/b/index.json", 11),
    ]
    assert remote.folders("shop") == ["a", "b"]
    assert remote.folders("") == ["shop"]
    with pytest.raises(ObjectAbsent):
        remote.get("shop/c")
    with pytest.raises(ObjectExists):
        remote.put("shop/a/parts/1", b"other", only_new=True)


def test_every_version_goes(remote: Store, server_bucket: Bucket) -> None:
    for content in (b"one", b"two"):
        remote.put("a", content)
    remote.put("ab", b"another")
    assert remote.delete("a") is None
    assert server_bucket.objects.keys() == {"below/here/ab"}
    deleted = [line for line in server_bucket.asked if line.startswith("DELETE")]
    assert deleted == [f"DELETE /vault/below/here/a?versionId=v{n}" for n in (0, 1)]
    assert remote.delete("never there") is None


def test_a_lock_is_no_failure_and_a_missing_right_is(
    remote: Store, server_bucket: Bucket, clock: FakeClock
) -> None:
    remote.put("a", b"one")
    server_bucket.locked_until = "2026-03-05T05:06:07.123456789Z"
    kept = remote.delete("a")
    assert isinstance(kept, Kept)
    assert kept.until == clock.now() + timedelta(days=1, microseconds=123456)
    clock.advance(2 * 24 * 3600)
    with pytest.raises(OffsiteFailed, match="doesn't let our key delete objects"):
        remote.delete("a")


def test_a_wrong_secret_is_said_whatever_is_asked(remote: Store, server_bucket: Bucket) -> None:
    server_bucket.refuse = "SignatureDoesNotMatch"
    asked = (
        lambda: remote.put("a", b"one"),
        lambda: remote.get("a"),
        lambda: remote.below("a"),
        lambda: remote.folders(""),
        lambda: remote.delete("a"),
    )
    for ask in asked:
        with pytest.raises(OffsiteFailed, match="refused the access key or its secret") as told:
            ask()
        assert told.value.lasting
        assert "long-secret" not in str(told.value)


def test_a_busy_store_is_asked_again_and_not_for_ever(remote: Store, server_bucket: Bucket) -> None:
    server_bucket.failures = RETRIES
    remote.put("a", b"one")
    assert len(server_bucket.asked) == RETRIES + 1
    server_bucket.failures = 1000
    with pytest.raises(OffsiteFailed):
        remote.put("a", b"one")
    assert len(server_bucket.asked) == 2 * (RETRIES + 1)


def test_a_stop_ends_what_waits_for_a_silent_store(
    remote: Store, server_bucket: Bucket, eventually: Eventually
) -> None:
    server_bucket.silent.set()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            remote.put("a", b"one")
        except OffsiteFailed as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: server_bucket.asked)
    began = time.monotonic()
    remote.close()
    waiting.join(5)
    assert time.monotonic() - began < 0.5
    assert isinstance(ended[0], OffsiteStopped)
    with pytest.raises(OffsiteStopped):
        remote.get("a")


def test_nobody_there_is_said_with_what_to_look_at(
    clock: FakeClock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("access", "secret"):
        (tmp_path / name).write_text("something")
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    settings = Offsite(
        url="s3://vault",
        endpoint="http://127.0.0.1:9",
        allow_http=True,
        access_key_credential="access",
        secret_key_credential="secret",
        retry_max=0,
    )
    store = open_store(settings, clock)
    try:
        asked: tuple[Callable[[], object], ...] = (
            lambda: store.put("a", b""),
            lambda: store.delete("a"),
        )
        for ask in asked:
            with pytest.raises(OffsiteFailed, match=r"look at .* backup\.offsite\.endpoint"):
                ask()
    finally:
        store.close()
