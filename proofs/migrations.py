"""`make proof-migrations`: the claims of migrations behind a gate. Owns which rows there are."""

import signal
import sys

from proofs.gate import (
    approvals,
    crash,
    drift,
    hazards,
    hostile,
    integrity,
    recording,
    rehearsal,
    runners,
    traffic,
)
from proofs.table import Row, main

ROWS: tuple[Row, ...] = (
    *hazards.ROWS,
    *hostile.ROWS,
    *recording.ROWS,
    *rehearsal.ROWS,
    *crash.ROWS,
    *integrity.ROWS,
    *drift.ROWS,
    *approvals.ROWS,
    *traffic.ROWS,
    *runners.ROWS,
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-migrations", ROWS))
