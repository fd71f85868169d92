"""Owns whether a dump can be restored, before anything is touched: programs, files, the part of it.

The files are compared with the manifest, which comes from `Seal`. Knows no target database.
"""

from collections.abc import Sequence
from pathlib import Path

from shippyard.backup.compression import Undecodable
from shippyard.backup.manifest import Manifest
from shippyard.backup.restore import archive
from shippyard.backup.restore.archive import Hands, Progress, RestoreBlocked, RestoreFailed
from shippyard.backup.restore.contents import NotInArchive, Selection, choose
from shippyard.backup.restore.loading import opened
from shippyard.host.files import sha256_of
from shippyard.host.process import Processes
from shippyard.postgres.session import one_line
from shippyard.postgres.tools import Tools, ToolsMissing, installed_tools

TOC = "toc.dat"


def tools_to_restore(
    processes: Processes, manifest: Manifest, major: int, extra_dirs: Sequence[Path] = ()
) -> Tools:
    """The programs for a dump and a server of this major: the server's own where they can.

    pg_restore reads what its own major or an older one wrote.

    Raises:
        ToolsMissing: none here can read the dump.
    """
    made = manifest.made.tool_major
    installed = installed_tools(processes, extra_dirs, program="pg_restore")
    fit = [tools for tools in installed if tools.major >= made]
    if not fit:
        have = ", ".join(str(tools.major) for tools in installed) or "none"
        raise ToolsMissing(
            f"{manifest.id} was made by pg_dump {made} and no pg_restore here can read it "
            f"(found: {have}); install postgresql-client-{max(made, major)}"
        )
    return min(fit, key=lambda tools: (tools.major != major, tools.major < major, tools.major))


def check_files(folder: Path, manifest: Manifest, progress: Progress = lambda _: None) -> None:
    """Read every file of the backup again and compare it with the manifest.

    Raises:
        RestoreFailed: one is gone, or is not what was published.
    """
    done = 0
    for entry in manifest.files:
        fields = {"size_bytes": done, "expected_bytes": manifest.size_bytes}
        progress({"phase": "checking", "message": entry.name, **fields})
        try:
            same = sha256_of(folder / entry.name) == entry.sha256
        except OSError as error:
            raise RestoreFailed(_unfit(manifest, f"{entry.name}: {error.strerror}")) from None
        if not same:
            raise RestoreFailed(_unfit(manifest, f"{entry.name} differs from its manifest"))
        done += entry.size_bytes


def refuse_absent(
    hands: Hands, folder: Path, manifest: Manifest, only: Selection, scratch: Path | None
) -> None:
    """Nothing, when the part is in the dump.

    Raises:
        RestoreBlocked: it is not; says what is.
        RestoreFailed: the dump can't be read.
    """
    if manifest.kind == "schema":
        raise RestoreBlocked(
            f"{manifest.id} has no rows and is restored whole: leave out --table and --schema, "
            "or name a full dump with --backup"
        )
    try:
        with opened(hands, artifact_of(folder, manifest), scratch) as file:
            items = archive.contents_of(hands.processes, hands.tools, file.file)
        choose(items, only, with_needs=False)
    except NotInArchive as error:
        raise RestoreBlocked(str(error)) from None
    except (Undecodable, OSError) as error:
        raise RestoreFailed(_unfit(manifest, one_line(error))) from None


def artifact_of(folder: Path, manifest: Manifest) -> Path:
    """The archive: one file, or a folder that has a table of contents.

    Raises:
        RestoreFailed: there is none.
    """
    names = [entry.name for entry in manifest.files]
    for name in names:
        if name.endswith((".dump", ".dump.zst")):
            return folder / name
        if name.rpartition("/")[2].startswith(TOC):
            return (folder / name).parent
    raise RestoreFailed(_unfit(manifest, f"no dump among its files ({', '.join(names[:5])})"))


def _unfit(manifest: Manifest, why: str) -> str:
    return (
        f"{manifest.id} can't be restored: {why}; take another backup, or another copy of it "
        "(nothing was changed)"
    )
