"""Owns a small application on the Shippyar schema: quotes are asked for, shipments move.

For the demo: enough traffic that the dashboards have something to show, and no more.
"""

import threading

import psycopg

from shippyard.postgres.target import Target

PAUSE_S = 0.02

STEPS = (
    "SELECT id, status FROM shipments ORDER BY created_at DESC LIMIT 20",
    """
    UPDATE shipments SET updated_at = now()
    WHERE id = (SELECT id FROM shipments ORDER BY random() LIMIT 1)
    """,
    "SELECT c.name, count(*) FROM cities c JOIN addresses a ON a.city_id = c.id GROUP BY 1",
)


class Workload:
    """Runs until stopped; an error ends it and is kept in `error`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)
        self.transactions = 0
        self.error: str | None = None

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End after the statement under way."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join(5)

    def _run(self) -> None:
        try:
            with psycopg.connect(
                **self._target.conninfo(), autocommit=True, application_name="shippyar-app"
            ) as connection:
                while not self._stop.wait(PAUSE_S):
                    connection.execute(STEPS[self.transactions % len(STEPS)])
                    self.transactions += 1
        except psycopg.Error as error:
            self.error = " ".join(str(error).split())
