"""`make proof-health`: the claims of knowing the database. Owns which rows there are."""

import signal
import sys

from proofs.know import blocking, crowd, flood, matrix, prometheus
from proofs.table import Row, main

ROWS: tuple[Row, ...] = (
    *blocking.ROWS,
    *crowd.ROWS,
    *matrix.ROWS,
    *flood.ROWS,
    *prometheus.ROWS,
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-health", ROWS))
