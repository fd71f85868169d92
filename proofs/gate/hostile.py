"""Proves what a hostile migration can't do under a real systemd; a rewritten audit is seen.

The machine is made by `hostile_machine.sh` from this one's root and the committed HEAD; what is
done on it is `hostile_inside.py`, the attempts are `hostile_revision.py`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from proofs.program import last_line, own_environment
from proofs.table import Context, CouldNotRun, Outcome, Row

HERE = Path(__file__).parent
REFUSED = 69
LIMIT_S = 470.0
SAID = re.compile(r"tried (\d+) managed \[(.*?)\]; ", re.DOTALL)


def hostile(context: Context) -> Outcome:
    """Boot, attack, and look what came of it."""
    found = _found(context)
    tried, managed = _managed(found["confined"])
    notes = [f"managed: {managed}"] if managed else []
    notes += _of_the_victim(found["confined"])
    notes += [f"left behind: {line}" for line in found["left"]]
    notes += _of_the_audit(found["audit"])
    measured = f"{tried - len(managed)} of {tried} attempts failed"
    if not context.quick:
        notes += _of_the_orphan(found["orphan"]) + _of_the_doctor(found)
        _, without = _managed(found["unconfined"])
        notes += _of_the_comparison(without)
        measured += f"; {len(without)} work in a plain child of the daemon"
        measured += f"; a killed daemon's run ended in {found['orphan']['runner_s']} s"
    measured += "; a rewritten audit is found" * (not _of_the_audit(found["audit"]))
    return Outcome(measured, not notes and tried > 0, "; ".join(notes))


def _found(context: Context) -> Mapping[str, Any]:
    """What the machine found; what went wrong there is in the error."""
    out = context.folder / "proof"
    out.mkdir()
    shutil.copy(HERE / "hostile_inside.py", out / "inside.py")
    shutil.copy(HERE / "hostile_revision.py", out)
    if context.quick:
        (out / "quick").touch()
    sources = context.folder / "sources.tar"
    archive = ["git", "archive", "-o", str(sources), "HEAD", "shippyard", "systemd", "config"]
    subprocess.run(archive, cwd=context.root, check=True)
    argv = ["bash", str(HERE / "hostile_machine.sh"), str(sources), str(_site()), str(out)]
    done = subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=own_environment(),
    )
    if done.returncode == REFUSED:
        raise CouldNotRun(last_line(done.stderr))
    found: dict[str, Any] = json.loads((out / "found.json").read_text() or "{}")
    trouble = (out / "inside.err").read_text().strip()
    if done.returncode or trouble:
        raise AssertionError(f"on the machine: {last_line(trouble or done.stderr)}")
    return found


def _site() -> Path:
    """Where our packages are, when the machine's own Python can use them."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", asked], check=False, capture_output=True, text=True
    )
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if done.stdout.strip() != ours:
        raise CouldNotRun(f"needs a /usr/bin/python3 of version {ours}, as the packages here are")
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        raise CouldNotRun("needs a PostgreSQL in /usr/lib/postgresql; install postgresql")
    return Path(psycopg.__file__).parent.parent


def _managed(attack: Mapping[str, Any]) -> tuple[int, list[str]]:
    """How many attempts there were, and those that went well."""
    said = SAID.search(attack["said"])
    if not said:
        raise AssertionError(f"the hostile run did not get so far: {last_line(attack['said'])}")
    managed = [each for each in re.split(r", (?=[a-z_]+=)", said[2]) if each]
    return int(said[1]), managed


def _of_the_victim(attack: Mapping[str, Any]) -> list[str]:
    """Another run beside it goes on undisturbed."""
    if attack.get("victim", 0) == 0:
        return []
    return [f"the run beside it did not end well: {last_line(attack['victim_said'])}"]


def _of_the_audit(audit: Mapping[str, Any]) -> list[str]:
    """Whole before, found out after."""
    (before, said), (after, said_after) = audit["before"], audit["after"]
    notes = [] if before == 0 else [f"the audit did not verify: {last_line(said)}"]
    return notes + ([] if after == 1 else [f"rewriting was not seen: {last_line(said_after)}"])


def _of_the_orphan(orphan: Mapping[str, float]) -> list[str]:
    """Nothing of a run lives on for long after its daemon."""
    return [] if orphan["sessions_s"] <= 2 else [f"sessions lived {orphan['sessions_s']} s"]


def _of_the_doctor(found: Mapping[str, Any]) -> list[str]:
    """It says that there is isolation, and that there is none."""
    levels = [[each.get("level") for each in found[key]] for key in ("doctor", "doctor_without")]
    return [] if levels == [["ok"], ["warn"]] else [f"the doctor says {levels}"]


def _of_the_comparison(managed: Sequence[str]) -> list[str]:
    """An attempt that nobody could manage shows nothing, unless it is known to be so."""
    names = {each.split("=")[0] for each in managed}
    wanted = {"credentials", "configuration", "state", "backups", "audit", "control", "plans"}
    wanted |= {"runner_socket", "environments", "memory", "killing", "listening_tcp"}
    missing = sorted(wanted - names)
    return [f"too weak an attack, without isolation it fails at: {missing}"] if missing else []


ROWS = (
    Row(
        "hostile",
        "A hostile migration reaches nothing of the daemon's under a booted systemd",
        "every attempt fails, nothing is left, a rewritten audit is found",
        hostile,
        alone=True,
    ),
)
