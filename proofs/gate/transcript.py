"""Records three people at work on one database: `python -m proofs.gate.transcript > FILE`.

Every line is what the commands said: `shippyard ctl` on a running daemon, each command run as a
user of the kernel. Owns the page around them, and refuses to tidy what they say.
"""

import grp
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proofs.program import Ran
from proofs.rig import Rig, rig
from proofs.table import ROOT, Context

GROUP = "users"
PEOPLE = {"vera": 20001, "olga": 20002, "anton": 20003}
WIDTH = 150

HEAD = """\
# Three people and a migration

Vera may look, Olga may ask and run, Anton may agree; the socket knows them by what the kernel says.
This is what the commands said on a database with the policy of production: a rehearsal and one
approval. `python -m proofs.gate.transcript` recorded it; an acceptance test goes the same way.
"""


@contextmanager
def _daemon() -> Iterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="shippyard-transcript-"))
    folder.chmod(0o755)  # the account that runs PostgreSQL must come through
    try:
        with rig(Context(quick=True, root=ROOT, folder=folder)) as made:
            made.document["control"] |= {
                "group": GROUP,
                "operators": [str(PEOPLE["olga"])],
                "approvers": [str(PEOPLE["anton"])],
            }
            made.document["migration"] |= {"approvals": 1, "rehearsal": True}
            made.document["backup"]["sandbox"] = {"dir": str(folder / "sandboxes")}
            made.start()
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Scene:
    """Writes down each command and what came of it."""

    def __init__(self, made: Rig) -> None:
        self._rig = made

    def tell(self, words: str) -> None:
        """A paragraph between commands."""
        sys.stdout.write(f"\n{words}\n\n")

    def does(self, who: str, *arguments: str) -> Ran:
        """One command of one person."""
        uid = PEOPLE[who]
        groups = grp.getgrnam(GROUP).gr_gid
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={groups}")
        ran = self._rig.ctl(*arguments, prefix=prefix)
        sys.stdout.write(f"```\n{who}$ shippyard ctl {' '.join(map(_quoted, arguments))}\n")
        for line in (*ran.stderr.splitlines(), *ran.stdout.splitlines()):
            sys.stdout.write(f"{_masked(line, self._rig.folder)}\n")
        sys.stdout.write(f"[exit {ran.returncode}]\n```\n")
        return ran


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def _masked(line: str, folder: Path) -> str:
    """Without names of this machine's folders, and of people by number."""
    for name, uid in PEOPLE.items():
        line = line.replace(str(uid), name)
    line = line.replace(str(folder), "/var/lib/shippyard").rstrip()
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def main() -> None:
    """The whole course, on standard output."""
    sys.stdout.write(HEAD)
    with _daemon() as made:
        scene = Scene(made)
        scene.tell("Vera looks at what would run. It may not, and each gate says why.")
        scene.does("vera", "migrate", "plan", "003")
        scene.tell("Olga takes a backup and tries the plan on it. Production is only read.")
        scene.does("olga", "backup", "run", "shop")
        scene.does("olga", "migrate", "rehearse", "003")
        scene.tell("She asks for an agreement. She can't give it herself.")
        asked = scene.does("olga", "migrate", "request", "003", "--reason", "first tables")
        plan = _plan_in(asked.stdout)
        scene.does("olga", "migrate", "approve", plan, "--reason", "it is fine")
        scene.tell("Anton looks at what he is asked for, and agrees.")
        scene.does("anton", "migrate", "approvals")
        scene.does("anton", "migrate", "approve", plan, "--reason", "rehearsed, comes back")
        scene.tell("Olga runs it.")
        scene.does("olga", "migrate", "003", "--yes")
        scene.does("vera", "migrate", "history")
        scene.tell("It was a mistake. Nothing was written since, so it can be taken back.")
        scene.does("olga", "migrate", "rollback", "--yes")
        scene.does("vera", "migrate", "history")
        scene.does("vera", "migrate", "audit", "--verify")


def _plan_in(said: str) -> str:
    """The beginning of the plan's hash that the answer names."""
    words = said.replace(",", " ").replace(":", " ").split()
    return next(word for word in words if len(word) >= 12 and set(word) <= set("0123456789abcdef"))


if __name__ == "__main__":
    main()
