"""Owns the row on seeded faults: each is found by a drill, and named in its verdict."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from proofs.backup.drill_meddled import in_sandbox, scribbled
from proofs.backup.drill_seeds import (
    another_row,
    cut,
    days_later,
    flipped,
    flipped_wal,
    forged,
    gone,
    hole,
    one_more_extension,
    other_revision,
    other_timeline,
    resigned,
    role_not_in_globals,
)
from proofs.backup.drillyard import BOTH, CLUSTER, FILL, SHOP, Yard, yard
from proofs.table import Context, Outcome
from shippyard.backup.drill.model import Drill
from shippyard.backup.model import Backup, Kind


@dataclass(frozen=True)
class Fault:
    """Something wrong, and a word that the drill's verdict must have."""

    name: str
    kind: Kind
    word: str
    seed: Callable[[Yard, Backup], AbstractContextManager[dict[str, Any]]]


def drill_faults(context: Context) -> Outcome:
    """Seed each fault by itself, on fresh backups; a drill must fail and say so."""
    faults = FAULTS if not context.quick else FAULTS[:: max(1, len(FAULTS) // 6)]
    missed: list[str] = []
    with yard(context.folder, dump_schedule="0 * * * *", timeout_s=1800) as y, y.receiving():
        y.run(*FILL)
        for fault in faults:
            y.canary.write()
            backup = y.back_up(fault.kind)
            y.run("SELECT pg_switch_wal()", "UPDATE goods SET shelf = 1 WHERE id = 1")
            y.run("SELECT pg_switch_wal()", "UPDATE goods SET shelf = 2 WHERE id = 1")
            y.canary.write()
            y.wait_received()
            drill = _with(fault, y, backup)
            context.say(f"{fault.name}: {drill.outcome}: {drill.error}")
            if drill.outcome != "failed" or fault.word not in (drill.error or ""):
                missed.append(f"{fault.name}: {drill.outcome} ({drill.error})")
            _tidy(y)
        for kind in BOTH:
            y.back_up(kind)
            y.canary.write()
            y.wait_received()
            if (clean := y.drill(kind)).outcome != "passed":
                missed.append(f"without a fault: {clean.error}")
    found = len(faults) - len([each for each in missed if "without a fault" not in each])
    return Outcome(f"{found} of {len(faults)} found", ok=not missed, note="; ".join(missed[:4]))


def _with(fault: Fault, y: Yard, backup: Backup) -> Drill:
    with fault.seed(y, backup) as parts:
        drills = y.build_drills(**parts)
        return drills.run(backup.database, backup.kind)


def _tidy(y: Yard) -> None:
    """Begin the next fault with an archive and backups that are whole."""
    for subject in (SHOP, CLUSTER):
        for backup in y.service.history(subject):
            y.layout.remove(subject, backup.id)
    y.service.recover()


FAULTS: tuple[Fault, ...] = (
    Fault("dump: bit flip", "dump", "differs from its manifest", flipped),
    Fault("dump: cut in half", "dump", "differs from its manifest", cut),
    Fault("dump: file gone", "dump", "No such file", gone),
    Fault("dump: manifest forged", "dump", "manifest", forged),
    Fault("dump: a row differs in the artifact", "dump", "content differs", another_row),
    Fault(
        "dump: a row changed after the restore",
        "dump",
        "content differs",
        in_sandbox("UPDATE goods SET shelf = shelf + 1 WHERE id = 12345"),
    ),
    Fault(
        "dump: a row missing after the restore",
        "dump",
        "19999 rows",
        in_sandbox("DELETE FROM goods WHERE id = 12345"),
    ),
    Fault("dump: role missing", "dump", "seller", role_not_in_globals),
    Fault("dump: extension missing", "dump", "hstore", resigned(one_more_extension)),
    Fault("dump: another revision", "dump", "revision", resigned(other_revision)),
    Fault("dump: stale", "dump", "was due", days_later),
    Fault("schema: bit flip", "schema", "differs from its manifest", flipped),
    Fault("base: bit flip", "base", "damaged", flipped),
    Fault("base: cut in half", "base", "", cut),
    Fault("base: WAL gap", "base", "missing", hole),
    Fault("base: WAL bit flip", "base", "", flipped_wal),
    Fault("base: wrong timeline", "base", "timeline", other_timeline),
    Fault("base: stale", "base", "canary", days_later),
    Fault(
        "base: role missing",
        "base",
        "seller",
        in_sandbox("REVOKE ALL ON goods FROM seller", "DROP ROLE seller"),
    ),
    Fault("base: extension missing", "base", "pg_trgm", in_sandbox("DROP EXTENSION pg_trgm")),
    Fault("base: index damaged", "base", "", scribbled),
)
