"""Owns asking the server what the manifest says of it. Knows nothing of how a backup is made."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from shippyard.backup.manifest import Environment, Extension, Source
from shippyard.host.secrets import MASK
from shippyard.postgres.session import Row, session
from shippyard.postgres.target import Target

_FOLDER = Path(__file__).parent
_SOURCE = (_FOLDER / "source.sql").read_text()
_ENVIRONMENT = (_FOLDER / "environment.sql").read_text()
_SECRET = re.compile(
    r"secret|password|passphrase|token|credential|conninfo|_key|apikey", re.IGNORECASE
)


class Asking(Protocol):
    """What a question can be put to: any session."""

    @property
    def server_version(self) -> int:
        """As `server_version_num`."""
        ...

    def query(self, statement: str) -> list[Row]:
        """All rows of one statement."""
        ...


def look_at_source(target: Target) -> tuple[Source, int]:
    """The facts for the manifest, and the server's major version.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "backup") as opened:
        return source_of(opened), opened.server_version // 10_000


def source_of(asking: Asking) -> Source:
    """The facts, as the session sees them: in a snapshot, those of its moment.

    Raises:
        QueryFailed: the server gave no answer.
    """
    row = asking.query(_SOURCE)[0]
    version_table = row.pop("version_table")
    revision = _revision(asking, version_table) if version_table else None
    return Source(**row, alembic_revision=revision)


def environment_of(asking: Asking) -> Environment:
    """What is around the data: roles, settings, tablespaces, extensions, collations.

    Raises:
        QueryFailed: the server gave no answer.
    """
    row = asking.query(_ENVIRONMENT)[0]
    extensions = tuple(Extension(**each) for each in row.pop("extensions"))
    libraries = tuple(filter(None, re.split(r"[,\s\"]+", row.pop("preload_libraries") or "")))
    return Environment(
        **{
            **row,
            "roles": _tuples(row["roles"]),
            "role_settings": _tuples(row["role_settings"], _without_secret),
        },
        extensions=extensions,
        preload_libraries=libraries,
    )


def _revision(asking: Asking, version_table: str) -> str | None:
    """The revision Alembic recorded; several heads are joined by commas."""
    # The server quoted the name itself (format's %I).
    rows = asking.query(f"SELECT version_num FROM {version_table} ORDER BY 1")
    return ",".join(row["version_num"] for row in rows) or None


def _tuples(lists: Mapping[str, Iterable[str]], each: Any = str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(map(each, values)) for name, values in sorted(lists.items())}


def _without_secret(setting: str) -> str:
    """A setting `name=value`; some applications keep secrets in settings of their own."""
    name, _, value = setting.partition("=")
    return f"{name}={MASK if _SECRET.search(name) else value}"
