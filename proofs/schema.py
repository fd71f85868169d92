"""`make proof-schema`: the claims of the Shippyar database, proved here. Owns which rows there are.

Each file below has its own rows; those that need the machine to themselves say so there.
"""

import signal
import sys

from proofs.shippyar import access, backfill, changes, fixture, majors
from proofs.table import Row, main

ROWS: tuple[Row, ...] = (
    *majors.ROWS,
    *access.ROWS,
    *backfill.ROWS,
    *changes.ROWS,
    *fixture.ROWS,
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-schema", ROWS))
