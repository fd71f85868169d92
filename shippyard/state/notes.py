"""Owns single facts that must survive a restart, by name. What they mean, their writers know.

Errors of SQLAlchemy pass through.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from shippyard.state.database import State
from shippyard.state.tables import notes


class Notes:
    """Reads and writes `notes`. A value is what JSON can say."""

    def __init__(self, state: State) -> None:
        self._state = state

    def read(self, name: str) -> Any | None:
        """The value noted under `name`, or None."""
        with self._state.read() as connection:
            return connection.scalar(select(notes.c.value).where(notes.c.name == name))

    def write(self, name: str, value: Any, at: datetime) -> None:
        """Note `value`, whatever was noted before."""
        with self._state.write() as connection:
            connection.execute(delete(notes).where(notes.c.name == name))
            connection.execute(insert(notes).values(name=name, value=value, at=at))

    def remove(self, name: str) -> bool:
        """Forget what was noted; False when nothing was."""
        with self._state.write() as connection:
            return connection.execute(delete(notes).where(notes.c.name == name)).rowcount == 1
