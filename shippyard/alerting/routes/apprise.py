"""Owns the long tail: whatever the library apprise can reach, by the URL that it has for it.

Such ways know no key by which receivers tell messages apart, and say no more than yes or no. The
library is loaded when a route needs it, for it is as large as all the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.routes.plain import body, title
from shippyard.alerting.routes.posting import UrlUnusable
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.secrets import read_secret, remember

BODY_MAX_CHARS = 1_500
"""What most chats take; the library would cut the rest into more messages."""


@dataclass(frozen=True)
class Apprise:
    """One URL of the library's."""

    name: str
    timeout_s: float
    url: str = field(repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:  # noqa: ARG002
        """Hand one message to the library."""
        sender, kind = self._sender(), _kind(message)
        text = body(message)[:BODY_MAX_CHARS]
        is_taken = sender.notify(title=title(message), body=text, notify_type=kind)
        if is_taken:
            return Answer("sent", "apprise: taken")
        return Answer("unreachable", "apprise: not taken; its own log has no more")

    def _sender(self) -> Any:
        import apprise  # noqa: PLC0415

        made = apprise.Apprise()
        seconds = f"cto={self.timeout_s}&rto={self.timeout_s}"
        made.add(self.url + ("&" if "?" in self.url else "?") + seconds)
        return made


def _kind(message: Mapping[str, Any]) -> str:
    if message["event"] == "resolve":
        return "success"
    return "failure" if message["incident"]["severity"] == "page" else "warning"


def from_config(config: RouteConfig) -> Apprise:
    """The way that config describes.

    Raises:
        SecretMissing: its credential can't be read.
        UrlUnusable: the library can make nothing of its URL.
    """
    import apprise  # noqa: PLC0415

    url = read_secret(config.url_credential) if config.url_credential else config.url or ""
    remember(url)
    if not apprise.Apprise().add(url):
        raise UrlUnusable(f"route {config.name!r}: apprise knows no such URL; see its manual")
    return Apprise(config.name, config.timeout_s, url)
