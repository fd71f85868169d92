"""`make proof-loop`: the main job, proved on this machine. Owns which rows there are."""

import signal
import sys

from proofs import bad_input, crash, demo, fresh, outage, page, reload, tree
from proofs.table import Row, main

ROWS = (
    Row(
        "lint",
        "import-linter, mypy strict and ruff are clean",
        "no finding",
        tree.lint,
        alone=True,
    ),
    Row("unit-time", "unit tests are quick", "under 10 s", tree.unit_time, alone=True),
    Row(
        "fresh-demo",
        "fresh Debian 12 without PostgreSQL: git clone, make demo ARGS=--once",
        "exit 0; warm within 60 s",
        fresh.demo,
    ),
    Row(
        "status",
        "`shippyard demo` stays up and the command it prints works",
        "exit 0, all up",
        demo.status,
    ),
    Row(
        "page",
        "a blocked query pages with root, victim and command, once; and resolves",
        "page within 13 s (for = 10 s), resolve within 5 s",
        page.page,
    ),
    Row(
        "kill-dump",
        "kill -9 in a dump: no partial backup, the missed job runs once, nothing is lost",
        "1 run, 0 partial, all verify, the open incident resolves",
        crash.kill_dump,
    ),
    Row(
        "stop-postgres",
        "PostgreSQL hangs (SIGSTOP): /metrics answers, stale series go, readyz says why, "
        "the watchdog is fed",
        "p99 50 ms, gone within 10 s, resumes within 30 s",
        outage.stop_postgres,
        alone=True,
    ),
    Row(
        "outage",
        "PostgreSQL stopped and started: all resumes by itself",
        "within 30 s, same daemon",
        outage.outage,
    ),
    Row(
        "stop-order",
        "SIGTERM stops in order, also in a dump",
        "exit 0 within 10 s, no program left",
        crash.stop_order,
    ),
    Row(
        "reload",
        "SIGHUP applies a good configuration and keeps the old one when the new is bad",
        "within 10 s, says why",
        reload.reload,
    ),
    Row(
        "bad-input",
        "bad input ends in one line and a documented exit code; passwords are never shown",
        "all as documented, daemon unharmed",
        bad_input.bad_input,
    ),
    Row(
        "fresh-test",
        "fresh Debian 12 without PostgreSQL: git clone, make test",
        "exit 0; warm within 5 min",
        fresh.test,
    ),
    Row("test-time", "make test on 2 cores", "exit 0 within 5 min", tree.test_time, alone=True),
)

if __name__ == "__main__":
    # A stop asked for from outside takes down what was put up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main("make proof-loop", ROWS))
