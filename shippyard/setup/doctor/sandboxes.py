"""Owns the checks of sandboxes: whether one can be made and shut in on this machine."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shippyard.host.accounts import NoUnprivilegedAccount
from shippyard.postgres.tools import ToolsMissing, server_tools
from shippyard.sandbox.jail import lacking
from shippyard.sandbox.local import LocalHost
from shippyard.sandbox.model import SandboxFailed
from shippyard.setup.doctor.finding import Finding, Patient

CHECK = "sandbox"
FOLDER = "sandboxes"


def sandboxes(patient: Patient) -> Iterator[Finding]:
    """Make one, and throw it away; no server is started."""
    for lack in lacking():
        yield Finding(CHECK, "", "warn", lack, "use a newer kernel, or drill on another machine")
    try:
        tools = server_tools(patient.processes, patient.config.tools_dirs)
        with _somewhere(patient) as folder:
            host = LocalHost(
                patient.config.backup.sandbox, patient.processes, patient.clock, folder
            )
            with host.open("doctor", tools):
                yield Finding(CHECK, "", "ok", "one can be made here")
    except (SandboxFailed, ToolsMissing, NoUnprivilegedAccount) as error:
        remedy = "set backup.sandbox.dir to a folder on a large disk that the daemon owns"
        yield Finding(CHECK, "", "fail", str(error), remedy)


@contextlib.contextmanager
def _somewhere(patient: Patient) -> Iterator[Path]:
    """The daemon's own folder where there is one; else a passing one, to leave nothing behind."""
    own = patient.config.daemon.state_dir / FOLDER
    if own.is_dir():
        yield own
        return
    with tempfile.TemporaryDirectory(prefix="shippyard-doctor-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
