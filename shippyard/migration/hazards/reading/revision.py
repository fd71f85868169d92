"""Owns putting together what a revision does each way: its rendered SQL, and its file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shippyard.migration.hazards.model import Way
from shippyard.migration.hazards.reading.comments import Allowed, allowances
from shippyard.migration.hazards.reading.lines import placed
from shippyard.migration.hazards.reading.script import Script
from shippyard.migration.hazards.reading.sql import Statement, read_sql
from shippyard.migration.plan import Rendered, Revision

FUNCTIONS: Mapping[Way, str] = {"up": "upgrade", "down": "downgrade"}
VERSION_TABLE = re.compile(r"^(UPDATE|INSERT INTO|DELETE FROM|CREATE TABLE)\s+\S*alembic_version\b")


@dataclass(frozen=True)
class Read:
    """A revision that has been read. `rendered` is false where only its file could be."""

    revision: Revision
    script: Script
    allowed: tuple[Allowed, ...]
    up: tuple[Statement, ...]
    down: tuple[Statement, ...]


def read(revision: Revision, source: bytes, up: Rendered | None, down: Rendered | None) -> Read:
    """What a revision does, each way."""
    script = Script(source)
    return Read(
        revision,
        script,
        allowances(source),
        _statements(script, "up", up),
        _statements(script, "down", down),
    )


def _statements(script: Script, way: Way, rendered: Rendered | None) -> tuple[Statement, ...]:
    written = script.statements(FUNCTIONS[way])
    if rendered is None or rendered.unrendered is not None:
        return written
    found = [
        each
        for each in read_sql(rendered.sql, in_transaction=True)
        if not VERSION_TABLE.match(each.text)
    ]
    through = [each for each in written if not each.by]
    past = [each for each in written if each.by]
    return (*placed([replace(each, comment="") for each in found], through), *past)
