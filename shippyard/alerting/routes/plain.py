"""Owns a message in plain words, for ways that carry text: e-mail, chats, whatever else. Pure."""

import json
from collections.abc import Mapping
from typing import Any

BODY_MAX_CHARS = 20_000

_WORDS: Mapping[str, str] = {
    "trigger": "FIRING",
    "repeat": "STILL FIRING",
    "acknowledge": "TAKEN ON",
    "resolve": "RESOLVED",
}


def title(message: Mapping[str, Any]) -> str:
    """What it is about, in a few words."""
    incident = message["incident"]
    about = f" {incident['subject']}" if incident["subject"] else ""
    state = f"{_WORDS[message['event']]} {incident['severity']}"
    return f"[{state}] {incident['rule']} on {incident['database']}{about}"


def body(message: Mapping[str, Any]) -> str:
    """All a person needs: what, since when, the command that ends it, where to read on."""
    incident = message["incident"]
    lines = {
        "since": incident["since"],
        "over": incident["resolved_at"],
        "taken on by": incident["acked_by"],
        "to end it": incident["action"],
        "runbook": incident["runbook"],
        "where": f"{incident['database']} in {incident['cluster']}, {message['environment']}",
        "incident": incident["id"],
    }
    said = "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
    shown = json.dumps(incident["evidence"], indent=2, ensure_ascii=False)
    return f"{incident['summary']}\n\n{said}\n\n{shown}\n"[:BODY_MAX_CHARS]
