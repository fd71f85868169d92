"""Owns the comparison of dumps: the command of many a crontab, and Shippyard's.

Run it: `python -m bench.dump --scale 80 --major 15`.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.cost import Cost, cost_of
from bench.data import NOTES, Text, build
from proofs.backup.shelf import DATABASE, Shelf, server, shelf
from shippyard.backup.engines.pg_dump import DumpEngine
from shippyard.host.clock import SystemClock
from shippyard.host.files import fsync_tree
from shippyard.host.process import Processes

# As it is by default; a scratch cluster has it off.
DURABLE = {"fsync": "on"}
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Compared:
    """One run beside the other, in the same minutes on the same server.

    `theirs` is `pg_dump -Fc -Z9`. `alone` is Shippyard's dump with schema.sql and globals.sql, on
    disk, but not digested nor read again. `whole` is all that Shippyard does until a backup is
    published: rights, digests of every row, hashes, a full decode, the manifest.
    """

    theirs: Cost
    alone: Cost
    whole: Cost
    command: str

    def alone_beside(self) -> str:
        """The dump alone, as parts of what theirs cost."""
        return _ratios(self.alone, self.theirs)

    def lines(self) -> list[str]:
        """What was measured, for people."""
        return [
            f"{'pg_dump -Fc -Z9':24} {self.theirs}",
            *(
                f"{name:24} {cost}; {_ratios(cost, self.theirs)}"
                for name, cost in (("dump alone", self.alone), ("until published", self.whole))
            ),
            f"made by: {self.command}",
        ]


def compare(folder: Path, major: int, scale: int, text: Text = "prose") -> Compared:
    """Build the database once and dump it each way."""
    tools = server(Processes(), major)
    with shelf(folder, tools, content="", settings=DURABLE) as stage:
        build(stage.processes, tools, stage.target, scale, text)
        theirs = _cost(stage, lambda: _theirs(stage, folder / "theirs.dump"))
        alone = _cost(stage, lambda: _alone(stage, folder / "alone"))
        whole = _cost(stage, lambda: stage.take("dump"))
        newest = stage.service.history(DATABASE)[0]
        command = " ".join(stage.seal.read(stage.folder(newest)).made.argv[:4])
    return Compared(theirs, alone, whole, command)


def main() -> int:
    """Compare, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=80, help="pgbench's; 80 is about 2.3 GB")
    parser.add_argument("--major", type=int, default=15, help="which PostgreSQL server")
    parser.add_argument("--text", choices=NOTES, default="prose", help="what the notes are made of")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        # PostgreSQL runs as another account than root, and must be able to look in.
        Path(folder).chmod(0o755)
        print("\n".join(compare(Path(folder), asked.major, asked.scale, asked.text).lines()))
    return 0


def _theirs(stage: Shelf, file: Path) -> Path:
    argv = [stage.tools.path("pg_dump"), "-Fc", "-Z9", f"--file={file}", *stage.target.arguments()]
    done = stage.processes.run(argv, timeout_s=TIMEOUT_S, env=stage.target.environment())
    assert done.returncode == 0, done.reason()
    return file


def _alone(stage: Shelf, folder: Path) -> Path:
    """The engine's own work; rows are counted, as is done at least."""
    folder.mkdir()
    settings = stage.config.backup.dump.model_copy(update={"digest": "counts"})
    backup = stage.config.backup.model_copy(update={"dump": settings})
    config = stage.config.model_copy(update={"backup": backup})
    engine = DumpEngine("dump", stage.target, config, stage.processes, SystemClock())
    engine.make(folder, engine.preflight(), lambda _: None)
    fsync_tree(folder)
    return folder


def _cost(stage: Shelf, work: Callable[[], Path]) -> Cost:
    postmaster = stage.cluster.postmaster_pid()
    assert postmaster is not None, "the server is gone"
    return cost_of(postmaster, work)


def _ratios(cost: Cost, other: Cost) -> str:
    wall, cpu, size = cost.ratios(other)
    return f"{wall:.2f} wall, {cpu:.2f} CPU, {size:.2f} size"


if __name__ == "__main__":
    sys.exit(main())
