"""Owns changing what a drill restored, before the drill looks at it."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from proofs.backup.drillyard import SHOP, Yard, asked
from shippyard.backup.drill import logical
from shippyard.backup.model import Backup
from shippyard.backup.restore.logical import Restored, restore_dump
from shippyard.postgres.tools import Tools
from shippyard.sandbox.model import Sandbox, SandboxHost, Started


@contextlib.contextmanager
def _changed_after(*statements: str) -> Iterator[None]:
    """What was restored is changed before it is compared."""

    def restore(*args: Any, **how: Any) -> Restored:
        done = restore_dump(*args, **how)
        asked(args[2].conninfo(), *statements)
        return done

    with mock.patch.object(logical, restore_dump.__name__, restore):
        yield


def in_sandbox(
    *statements: str,
) -> Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]:
    """These statements change what was restored: in the sandbox, or in the database of a dump."""

    @contextlib.contextmanager
    def seed(y: Yard, backup: Backup) -> Iterator[dict[str, Any]]:
        if backup.kind == "base":
            yield {"host": Meddling(y.host, lambda sandbox: _say_to(sandbox, statements))}
            return
        with _changed_after(*statements):
            yield {}

    return seed


def _say_to(sandbox: Sandbox, statements: tuple[str, ...]) -> None:
    for statement in statements:
        asked(sandbox.target(SHOP).conninfo(), statement)


def scribbled(y: Yard, backup: Backup) -> AbstractContextManager[dict[str, Any]]:  # noqa: ARG001  as the others
    """A page of an index is damaged on the disk of what was restored."""
    path = str(y.run("SELECT pg_relation_filepath('goods_shelf_idx')")[0][0])

    def scribble(sandbox: Sandbox) -> None:
        file = sandbox.data_dir / path
        with file.open("r+b") as opened:
            opened.seek(8192 + 4000)
            opened.write(b"\xff" * 64)

    return contextlib.nullcontext({"host": Meddling(y.host, scribble, flushed=True)})


class Meddling:
    """A host of sandboxes in which something is changed as soon as they have come up."""

    def __init__(
        self, host: SandboxHost, meddle: Callable[[Sandbox], None], *, flushed: bool = False
    ) -> None:
        self._host = host
        self._meddle = meddle
        self._flushed = flushed

    @contextlib.contextmanager
    def open(self, name: str, tools: Tools) -> Iterator[Sandbox]:
        """A sandbox whose start is followed by what is meddled."""
        with self._host.open(name, tools) as sandbox:
            plain = sandbox.start

            def start(**how: Any) -> Started:
                started = plain(**how)
                if self._flushed:
                    sandbox.stop()
                self._meddle(sandbox)
                if self._flushed:
                    plain(settings=how.get("settings"))
                return started

            with mock.patch.object(sandbox, "start", start):
                yield sandbox

    def sweep(self) -> list[str]:
        """Nothing to sweep."""
        return self._host.sweep()
