"""Owns sandboxes on this machine: a folder each, a server shut in it, nothing left at the end.

Running as root it drops to an unprivileged account. What is restored, and why, is not known here.
"""

import contextlib
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from shippyard.config.models import Sandbox as SandboxSettings
from shippyard.host.accounts import account_for_postgres, closed_to
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.embedded import readable_tools
from shippyard.postgres.tools import Tools
from shippyard.sandbox import record
from shippyard.sandbox.model import Sandbox, SandboxFailed
from shippyard.sandbox.scratch import PORT, LocalSandbox

SOCKET_PATH_MAX = 107
_SOCKET_NAME = f"/.s.PGSQL.{PORT}.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

log = structlog.get_logger(__name__)


class LocalHost:
    """Makes sandboxes below one folder. Safe from any thread; a sandbox is for one thread."""

    def __init__(
        self, settings: SandboxSettings, processes: Processes, clock: Clock, default_dir: Path
    ) -> None:
        """`default_dir` is used where the settings name no folder."""
        self._settings = settings
        self._processes = processes
        self._clock = clock
        self._dir = settings.dir or default_dir

    def open(self, name: str, tools: Tools) -> AbstractContextManager[Sandbox]:
        """A sandbox for the length of a block; whatever is left of it is removed at the end.

        Raises:
            SandboxFailed: it can't be made here; says what to set.
        """
        return self._opened(name, tools)

    def sweep(self) -> list[str]:
        """At start: stop and remove what a dead daemon left; gives the names."""
        if not self._dir.is_dir():
            return []
        folders = sorted(path for path in self._dir.iterdir() if (path / record.LOCK).is_file())
        return [folder.name for folder in folders if self._sweep(folder)]

    @contextlib.contextmanager
    def _opened(self, name: str, tools: Tools) -> Iterator[Sandbox]:
        assert _NAME.fullmatch(name), name
        with contextlib.ExitStack() as undo:
            try:
                made = self._make(name, tools, undo)
            except OSError as error:
                raise SandboxFailed(f"no sandbox can be made in {self._dir}: {error}") from None
            yield made

    def _make(self, name: str, tools: Tools, undo: contextlib.ExitStack) -> "LocalSandbox":
        account = account_for_postgres()
        self._prepare_dir(account)
        folder = self._dir / name
        folder.mkdir(mode=0o700)
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.enter_context(record.owned(folder))
        socket_dir = _socket_dir(folder)
        undo.callback(shutil.rmtree, socket_dir, ignore_errors=True)
        record.write(folder, record.Record(str(socket_dir)))
        if account:
            # The folder stays ours, so that nothing in it can forge what we remember of it.
            os.chown(folder, -1, pwd.getpwnam(account).pw_gid)
            folder.chmod(0o710)
            os.chown(socket_dir, pwd.getpwnam(account).pw_uid, -1)
            tools = readable_tools(tools, folder, account)
        sandbox = LocalSandbox(
            folder,
            socket_dir,
            tools,
            self._settings,
            processes=self._processes,
            clock=self._clock,
            account=account,
        )
        undo.callback(sandbox.close)
        sandbox.prepare()
        return sandbox

    def _prepare_dir(self, account: str | None) -> None:
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o711 if account else 0o700)
        closed = closed_to(self._dir, account) if account else None
        if closed:
            raise SandboxFailed(
                f"user {account} can't enter {closed}, and PostgreSQL refuses to run as root; "
                "set backup.sandbox.dir to a folder that everyone may enter"
            )

    def _sweep(self, folder: Path) -> bool:
        """Whether it was nobody's, and now is gone."""
        try:
            with record.owned(folder):
                known = record.read(folder)
                if known:
                    record.end_server(known, folder, self._clock)
                    _remove_socket(known.socket_dir, folder)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            return False
        except OSError as error:
            log.warning("sandbox.not_swept", folder=str(folder), error=str(error))
            return False
        log.info("sandbox.swept", folder=str(folder))
        return True


def _socket_dir(folder: Path) -> Path:
    """A folder whose socket's path the kernel can take: in the sandbox, else a short one."""
    inside = folder.resolve() / "s"
    if len(f"{inside}{_SOCKET_NAME}") <= SOCKET_PATH_MAX:
        inside.mkdir(mode=0o700)
        return inside
    return Path(tempfile.mkdtemp(prefix="shippyard-"))


def _remove_socket(socket_dir: str, folder: Path) -> None:
    """Only what `_socket_dir` made: inside the sandbox, or a folder of that name in the same place.

    A record is believed no further than that.
    """
    path = Path(socket_dir)
    ours = path.parent == Path(tempfile.gettempdir()) and path.name.startswith("shippyard-")
    if path.is_relative_to(folder.resolve()) or ours:
        shutil.rmtree(path, ignore_errors=True)
