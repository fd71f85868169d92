"""Owns one HTTP POST of a route: its address, its deadline, TLS, a proxy, and what went wrong.

TLS is verified, redirects are not followed (a page goes where config says), nothing the receiver
writes is logged. A URL often holds a token, so it is a secret: it is in no error and no log line.
Knows nothing of what is posted.
"""

import base64
import contextlib
import http.client
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shippyard import __version__
from shippyard.alerting.delivery import Answer, judge_status
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.secrets import read_secret, remember

ANSWER_MAX_BYTES = 4 * 1024
SECRET_PATH_MIN_CHARS = 8
PROXY_PORT = 80


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

    def below(self, path: str) -> "Address":
        """The address of `path` under this one."""
        return Address(
            self.is_tls, self.host, self.port, self.path.rstrip("/") + path, self.authorization
        )


@dataclass(frozen=True)
class Poster:
    """How posts of one route are made. `proxy` is asked for what it names: host and port."""

    timeout_s: float
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: Address | None = field(default=None, repr=False)

    def post(
        self, address: Address, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> Answer:
        """POST once, within about `timeout_s`; what goes wrong outside is in the answer."""
        own = {"User-Agent": f"shippyard/{__version__}", "Connection": "close"}
        if address.authorization:
            own["Authorization"] = address.authorization
        if self.proxy and self.proxy.authorization and not address.is_tls:
            own["Proxy-Authorization"] = self.proxy.authorization
        try:
            with self._connection(address) as connection:
                target = self._target(address)
                connection.request("POST", target, body, {**own, **headers})
                response = connection.getresponse()
                _drain(response)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Answer("unreachable", _plain(error))
        return judge_status(response.status, response.getheader("Retry-After"), now)

    def _target(self, address: Address) -> str:
        """A proxy is told the whole address, unless it only passes on what is encrypted."""
        if self.proxy is None or address.is_tls:
            return address.path
        port = f":{address.port}" if address.port else ""
        return f"http://{address.host}{port}{address.path}"

    @contextlib.contextmanager
    def _connection(self, address: Address) -> Iterator[http.client.HTTPConnection]:
        """A connection that is cut at the deadline: a socket's timeout bounds single reads only."""
        connection = self._opened(address)
        ends_s = time.monotonic() + self.timeout_s
        deadline = threading.Timer(self.timeout_s, _cut, [connection])
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            if time.monotonic() > ends_s:
                # The deadline found nothing to cut: names can take long to look up.
                raise TimeoutError
            yield connection
        finally:
            deadline.cancel()
            connection.close()

    def _opened(self, address: Address) -> http.client.HTTPConnection:
        first = self.proxy or address
        port = self.proxy.port or PROXY_PORT if self.proxy else address.port
        if not address.is_tls:
            return http.client.HTTPConnection(first.host, port, timeout=self.timeout_s)
        connection = http.client.HTTPSConnection(
            first.host, port, timeout=self.timeout_s, context=self.tls or trust(None)
        )
        if self.proxy is not None:
            said = {"Proxy-Authorization": self.proxy.authorization or ""}
            given = said if self.proxy.authorization else {}
            connection.set_tunnel(address.host, address.port, given)
        return connection


def poster_of(config: RouteConfig, address: Address) -> Poster:
    """How a route posts to `address`: by its own proxy, or the environment's, or straight.

    Raises:
        UrlUnusable: the proxy's URL is none, or the CA file holds no certificates.
    """
    proxy = config.proxy or _proxy_of_environment(address)
    by = parse_url(config.name, proxy, "proxy") if proxy else None
    if by is not None and by.is_tls:
        raise UrlUnusable(f"route {config.name!r}: its proxy is spoken to in HTTP; give http://")
    return Poster(config.timeout_s, trust_of(config), by)


def trust_of(config: RouteConfig) -> ssl.SSLContext:
    """Whose certificates a route believes: the system's, and those in its CA file.

    Raises:
        UrlUnusable: the CA file can't be read, or holds no certificates.
    """
    try:
        return trust(config.ca_file)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise UrlUnusable(f"route {config.name!r}: ca_file {config.ca_file}: {why}") from None


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS that verifies, by the system's certificates and those in `ca_file`.

    Raises:
        OSError: it can't be read, or holds no certificates.
    """
    tls = ssl.create_default_context()
    if ca_file is not None:
        tls.load_verify_locations(ca_file)
    return tls


def address_of(config: RouteConfig, otherwise: str = "") -> Address:
    """Where a route's `url` or `url_credential` leads; remembered as a secret if it is one.

    Raises:
        SecretMissing: its credential can't be read.
        UrlUnusable: its URL is none.
    """
    return secret_address(config.name, config.url or otherwise, config.url_credential)


def secret_address(route: str, url: str, credential: str | None) -> Address:
    """The address that stands in config, or in a credential.

    Raises:
        SecretMissing: the credential can't be read.
        UrlUnusable: it is no URL.
    """
    url = read_secret(credential) if credential else url
    address = parse_url(route, url)
    if credential or address.authorization:
        remember(url)
    # shorter ones, and those that stand in config for all to read, would mask ordinary words
    if credential and len(address.path) >= SECRET_PATH_MIN_CHARS:
        remember(address.path)
    return address


def parse_url(route: str, url: str, what: str = "URL") -> Address:
    """`url` taken apart, for the route called `route`.

    Raises:
        UrlUnusable: it is not an http or https URL in printable ASCII.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unusable(route, what) from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not is_plain:
        raise _unusable(route, what)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    basic = _basic(parts.username, parts.password)
    return Address(parts.scheme == "https", host, port, path, basic)


def _unusable(route: str, what: str) -> UrlUnusable:
    return UrlUnusable(
        f"route {route!r}: its {what} can't be used; give http(s)://HOST[:PORT]/PATH"
    )


def _proxy_of_environment(address: Address) -> str | None:
    """`http_proxy`, `https_proxy` and `no_proxy`, as other programs read them."""
    if urllib.request.proxy_bypass(address.host):
        return None
    return urllib.request.getproxies().get("https" if address.is_tls else "http")


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
