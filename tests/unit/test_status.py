"""Which of a subject's problems `ctl status` shows first."""

from typing import Any

from shippyard.status import worst_first


def incident(summary: str, **changes: Any) -> dict[str, Any]:
    said = {"rule": "wal_slot", "database": "@main", "state": "firing", "severity": "page"}
    return {**said, "summary": summary, **changes}


def test_pages_come_first_and_tickets_last() -> None:
    incidents = [
        incident("a ticket", severity="ticket", rule="wal_gap"),
        incident("a page"),
        incident("not yet", state="pending"),
        incident("of another", database="shop"),
        incident("no backup's", rule="blocked"),
    ]
    assert worst_first("@main", ["seen"], incidents) == ["a page", "seen", "a ticket"]
