"""Owns the generic webhook: one POST of the message as JSON, and what its answer means.

The document is described in `alerting.message`. TLS is verified, redirects are not followed (a
page goes where config says), nothing the receiver writes is kept or logged. The URL often holds a
token, so it is a secret: it is in no error and no log line.
"""

import base64
import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from shippyard import __version__
from shippyard.alerting.delivery import Answer, judge_status
from shippyard.alerting.message import stamped
from shippyard.config.models import Route as RouteConfig
from shippyard.host.secrets import read_secret, remember

ANSWER_MAX_BYTES = 4 * 1024
SECRET_PATH_MIN_CHARS = 8


class UrlUnusable(Exception):
    """A route's URL can't be used; the message says what to give, without showing it."""


@dataclass(frozen=True)
class Address:
    """A URL, taken apart once."""

    is_tls: bool
    host: str
    port: int | None
    path: str = field(repr=False)
    authorization: str | None = field(repr=False)


@dataclass(frozen=True)
class Webhook:
    """One receiver."""

    name: str
    severities: tuple[str, ...]
    timeout_s: float
    address: Address = field(repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """POST `message` once, within about `timeout_s`."""
        body = json.dumps(stamped(message, now)).encode()
        try:
            with self._connection() as connection:
                connection.request("POST", self.address.path, body, self._headers(message))
                response = connection.getresponse()
                _drain(response)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Answer("unreachable", _plain(error))
        return judge_status(response.status, response.getheader("Retry-After"), now)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        """A connection that is cut at the deadline: a socket's timeout bounds single reads only."""
        connection = self._opened()
        deadline = threading.Timer(self.timeout_s, _cut, [connection])
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            yield connection
        finally:
            deadline.cancel()
            connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if not self.address.is_tls:
            return http.client.HTTPConnection(host, port, timeout=self.timeout_s)
        tls = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=tls)

    def _headers(self, message: Mapping[str, Any]) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"shippyard/{__version__}",
            "Idempotency-Key": str(message["idempotency_key"]),
            "Connection": "close",
        }
        if self.address.authorization:
            headers["Authorization"] = self.address.authorization
        return headers


def from_config(config: RouteConfig) -> Webhook:
    """The webhook that config describes.

    Raises:
        SecretMissing: its credential can't be read.
        UrlUnusable: its URL is none.
    """
    url = read_secret(config.url_credential) if config.url_credential else config.url or ""
    remember(url)
    address = parse_url(config.name, url)
    # shorter ones, and those that stand in config for all to read, would mask ordinary words
    if config.url_credential and len(address.path) >= SECRET_PATH_MIN_CHARS:
        remember(address.path)
    return Webhook(config.name, config.severities, config.timeout_s, address)


def parse_url(route: str, url: str) -> Address:
    """`url` taken apart, for the route called `route`.

    Raises:
        UrlUnusable: it is not an http or https URL in printable ASCII.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unusable(route) from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not is_plain:
        raise _unusable(route)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    basic = _basic(parts.username, parts.password)
    return Address(parts.scheme == "https", host, port, path, basic)


def _unusable(route: str) -> UrlUnusable:
    return UrlUnusable(f"route {route!r}: its URL can't be used; give http(s)://HOST[:PORT]/PATH")


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    remember(unquote(password or ""))
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _drain(response: http.client.HTTPResponse) -> None:
    """Let the receiver finish a short answer; its status is known, so what follows can't harm."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        response.read(ANSWER_MAX_BYTES)


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(2)


def _plain(error: Exception) -> str:
    """What went wrong, in words that hold nothing of the URL or the answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate not accepted (code {error.verify_code})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
