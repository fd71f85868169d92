"""Owns the generic webhook: one POST of the message as JSON, signed when a key is given.

The document is described in `alerting.message`. With a key each post has two headers more:
`Shippyard-Timestamp`, seconds since 1970, and `Shippyard-Signature`, "sha256=" and the HMAC-SHA256
in hex of the timestamp, a full stop and the body. A receiver that refuses old timestamps can't be
fooled by a post that was overheard.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.message import stamped
from shippyard.alerting.routes.posting import Address, Poster, address_of, poster_of
from shippyard.config.alerting import Route as RouteConfig
from shippyard.host.secrets import read_secret


@dataclass(frozen=True)
class Webhook:
    """One receiver."""

    name: str
    timeout_s: float
    address: Address = field(repr=False)
    poster: Poster = field(repr=False)
    key: bytes | None = field(default=None, repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """POST `message` once, within about `timeout_s`."""
        body = json.dumps(stamped(message, now)).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(message["idempotency_key"]),
        }
        if self.key is not None:
            headers |= signature_of(self.key, body, now)
        return self.poster.post(self.address, body, headers, now)


def signature_of(key: bytes, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that prove who made `body`, and when."""
    at = str(int(now.timestamp()))
    digest = hmac.new(key, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Shippyard-Timestamp": at, "Shippyard-Signature": f"sha256={digest}"}


def from_config(config: RouteConfig) -> Webhook:
    """The webhook that config describes.

    Raises:
        SecretMissing: a credential can't be read.
        UrlUnusable: its URL is none.
    """
    address = address_of(config)
    key = read_secret(config.key_credential).encode() if config.key_credential else None
    return Webhook(config.name, config.timeout_s, address, poster_of(config, address), key)
