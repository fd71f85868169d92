"""Owns what a store of objects is, and what can go wrong with one.

A store keeps whole objects under keys like `shop/…/manifest.json`. Where it is and how it is
reached is for `store.py` and `folder.py`; what an object means is known above.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class OffsiteFailed(Exception):
    """The work off the machine was not done; one line that says what to do.

    `lasting` says that trying again does not help before a person has changed something.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class ObjectAbsent(OffsiteFailed):
    """There is no object under that key."""


class ObjectExists(OffsiteFailed):
    """There is an object under that key already, and it was to be a new one."""


class SourceDamaged(OffsiteFailed):
    """A file here is not what was published: there is nothing to copy."""


class OffsiteStopped(OffsiteFailed):
    """We are stopping; what was begun goes on at the next start."""


@dataclass(frozen=True)
class Found:
    """One object, as a listing says it."""

    key: str
    size_bytes: int


@dataclass(frozen=True)
class Kept:
    """A delete that the store refused because it must keep the object; `until` if it says so."""

    until: datetime | None

    def __str__(self) -> str:
        when = f"{self.until:%Y-%m-%d %H:%M}Z" if self.until else "its retention ends"
        return f"kept by the bucket until {when}"


class Store(Protocol):
    """Keeps objects. Safe from any thread; every call ends within a bound or raises."""

    @property
    def place(self) -> str:
        """Where it is, as a URL without secrets."""
        ...

    @property
    def deletes_versions(self) -> bool:
        """Whether `delete` takes the object itself away, and does not only hide it."""
        ...

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Keep `data` whole under `key`, durably.

        Raises:
            ObjectExists: `only_new`, and the store sees that there is one. Not every store can.
            OffsiteFailed: it could not be kept.
        """
        ...

    def get(self, key: str, *, first_bytes: int | None = None) -> bytes:
        """The object, or its first bytes.

        Raises:
            ObjectAbsent: there is none.
            OffsiteFailed: it could not be read.
        """
        ...

    def below(self, folder: str) -> Sequence[Found]:
        """Every object below `folder`, by key.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        ...

    def folders(self, folder: str) -> Sequence[str]:
        """Names of the folders right below `folder` ("" is the top), sorted.

        Raises:
            OffsiteFailed: the store could not be asked.
        """
        ...

    def delete(self, key: str) -> Kept | None:
        """Take the object away with its older versions; `Kept` when retention forbids it.

        One that is not there is gone already.

        Raises:
            OffsiteFailed: it could not be deleted, for another reason.
        """
        ...

    def close(self) -> None:
        """End what is under way and begin nothing more. Safe twice."""
        ...
