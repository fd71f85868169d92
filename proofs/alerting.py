"""`make proof-alerting`: the claims of telling people. Owns which rows there are."""

import signal
import sys

from proofs.paging import crowding, kills, losses, secrets, soon
from proofs.table import Row, main

ROWS: tuple[Row, ...] = (
    *soon.ROWS,
    *kills.ROWS,
    *losses.ROWS,
    *crowding.ROWS,
    *secrets.ROWS,
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-alerting", ROWS))
