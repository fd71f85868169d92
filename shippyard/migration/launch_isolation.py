"""Owns saying how far what revisions do is kept apart from the daemon: asked of the runner itself.

Changes nothing, and lets nothing run or not run.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from shippyard.config.models import Config
from shippyard.host.secrets import credentials_folder
from shippyard.migration.launch import LaunchFailed, TooMuchSaid
from shippyard.migration.launch_socket import UNIT, SocketLauncher

log = structlog.get_logger(__name__)

CREDENTIALS_STORE = Path("/etc/credstore")
ENABLE = (
    f"systemctl enable --now {UNIT}, and in [migration]: "
    'runner_socket = "/run/shippyard-runner.sock"'
)


@dataclass(frozen=True)
class Isolation:
    """What there is, in words; `remedy` is empty when nothing is missing.

    `broken` says that runs will fail, because what is configured gives no answer.
    """

    said: str
    remedy: str = ""
    broken: bool = False


def isolation(runner_socket: Path | None, guarded: Mapping[str, Path]) -> Isolation:
    """As whom revisions run, and which of the `guarded` places they can open."""
    if runner_socket is None:
        return Isolation("revisions run with the daemon's rights: all it reads, they read", ENABLE)
    try:
        answer = SocketLauncher(runner_socket).ask(
            {name: str(path) for name, path in guarded.items()}
        )
    except (LaunchFailed, TooMuchSaid) as error:
        return Isolation(f"no revision can run: {error}", ENABLE, broken=True)
    if answer["uid"] in {0, os.geteuid()}:
        said = f"revisions run as user {answer['uid']}, which is not another than ours"
        return Isolation(said, "take User= out of the drop-ins: systemctl cat shippyard-runner@")
    if reached := [str(name) for name in answer.get("reached", ())]:
        said = f"revisions run as another user, who can open {', '.join(reached)}"
        return Isolation(
            said, "mend the modes of these, or InaccessiblePaths= in shippyard-runner@"
        )
    return Isolation(f"revisions run as user {answer['uid']}, who can open nothing of the daemon's")


def guarded(config: Config) -> Mapping[str, Path]:
    """What no revision may open, by what it is called."""
    places = {
        "the daemon's state": config.daemon.state_dir,
        "the backups": config.backup.dir,
        "the control socket": config.control.socket,
        "the credentials' store": CREDENTIALS_STORE,
    }
    folder = credentials_folder()
    return places | ({"the credentials": folder} if folder else {})


class IsolationNotice:
    """Says in the log, once at start, what is missing. Asks in the background."""

    def __init__(self, runner_socket: Path | None, guarded: Mapping[str, Path]) -> None:
        self._runner_socket = runner_socket
        self._guarded = guarded

    def start(self) -> None:
        """Ask, without waiting."""
        threading.Thread(target=self._tell, name="runner-isolation", daemon=True).start()

    def stop(self) -> None:
        """Nothing to stop: what is asked has a deadline of its own."""

    def _tell(self) -> None:
        found = isolation(self._runner_socket, self._guarded)
        if found.remedy:
            log.warning("migration.runner_isolation", said=found.said, remedy=found.remedy)
        else:
            log.info("migration.runner_isolation", said=found.said)
