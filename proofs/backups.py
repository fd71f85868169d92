"""`make proof-backups`: the claims of backups, proved on this machine. Owns which rows there are.

Each file below has its own rows; those that need the machine to themselves say so there.
"""

import signal
import sys

from proofs.backup import (
    drills,
    dump_cost,
    engines,
    engines_back,
    flips,
    kill,
    majors,
    offsite,
    physical,
    races,
    restore,
    retention,
    rpo,
    wal,
)
from proofs.table import Row, main

ROWS: tuple[Row, ...] = (
    *dump_cost.ROWS,
    *majors.ROWS,
    *flips.ROWS,
    *kill.ROWS,
    *physical.ROWS,
    *restore.ROWS,
    *engines.ROWS,
    *engines_back.ROWS,
    *wal.ROWS,
    *rpo.ROWS,
    *drills.ROWS,
    *offsite.ROWS,
    *retention.ROWS,
    *races.ROWS,
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-backups", ROWS))
