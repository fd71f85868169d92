"""Owns messages to a chat: Slack's incoming webhooks, and what takes the same document.

A webhook can't change what it wrote: an incident's end is a message of its own. What comes from a
database is escaped, so that no query can mention a person or draw a link.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shippyard.alerting.delivery import Answer
from shippyard.alerting.routes.plain import title
from shippyard.alerting.routes.posting import Address, Poster, address_of, poster_of
from shippyard.config.alerting import Route as RouteConfig

TEXT_MAX_CHARS = 2_900
"""A section takes 3,000."""
COLOURS: Mapping[str, str] = {"page": "#d00000", "ticket": "#e0a000", "info": "#4080c0"}
OVER = "#2e8540"


@dataclass(frozen=True)
class Slack:
    """One channel."""

    name: str
    timeout_s: float
    address: Address = field(repr=False)
    poster: Poster = field(repr=False)

    def send(self, message: Mapping[str, Any], now: datetime) -> Answer:
        """Write one message."""
        body = json.dumps(document_of(message)).encode()
        headers = {"Content-Type": "application/json"}
        return self.poster.post(self.address, body, headers, now)


def document_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in Slack's words; `text` is what a notification shows."""
    incident = message["incident"]
    is_over = message["event"] == "resolve"
    lines = [_section(f"*{_escaped(title(message))}*\n{_escaped(incident['summary'])}")]
    if incident["action"] and not is_over:
        lines.append(_section(f"```{_escaped(incident['action'])}```"))
    return {
        "text": _escaped(f"{title(message)}: {incident['summary']}")[:TEXT_MAX_CHARS],
        "attachments": [
            {
                "color": OVER if is_over else COLOURS[incident["severity"]],
                "blocks": [*lines, _footnote(message)],
            }
        ],
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:TEXT_MAX_CHARS]}}


def _footnote(message: Mapping[str, Any]) -> dict[str, Any]:
    incident = message["incident"]
    parts = [message["environment"], incident["cluster"], incident["runbook"], incident["id"]]
    said = " · ".join(_escaped(str(each)) for each in parts)
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": said[:TEXT_MAX_CHARS]}]}


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text names these three."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def from_config(config: RouteConfig) -> Slack:
    """The channel that config describes.

    Raises:
        SecretMissing: its credential can't be read.
        UrlUnusable: its URL is none.
    """
    address = address_of(config)
    return Slack(config.name, config.timeout_s, address, poster_of(config, address))
