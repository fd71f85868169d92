"""Owns asking the server what the manifest says of it. Knows nothing of how a backup is made."""

from pathlib import Path

from shippyard.backup.manifest import Source
from shippyard.postgres.session import Session, session
from shippyard.postgres.target import Target

_QUESTION = Path(__file__).with_name("source.sql").read_text()


def look_at_source(target: Target) -> tuple[Source, int]:
    """The facts for the manifest, and the server's major version.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "backup") as opened:
        row = opened.query(_QUESTION)[0]
        version_table = row.pop("version_table")
        revision = _revision(opened, version_table) if version_table else None
        return Source(**row, alembic_revision=revision), opened.server_version // 10_000


def _revision(opened: Session, version_table: str) -> str | None:
    """The revision Alembic recorded; several heads are joined by commas."""
    # The server quoted the name itself (format's %I).
    rows = opened.query(f"SELECT version_num FROM {version_table} ORDER BY 1")
    return ",".join(row["version_num"] for row in rows) or None
