"""Owns the stage of alerting's proofs: a daemon whose routes lead to receivers that we watch.

And troubles made by hand: a check of the operator's own that finds what stands in a table, so that
incidents come and go as quickly as a daemon can see.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from proofs.paging.receivers import Desk, Kept, desk
from proofs.rig import Document, Rig, rig
from proofs.table import Context
from proofs.waiting import until

RULE = "trouble"
SEEN_WITHIN_S = 30.0

CHECK_TOML = f"""
summary = "Troubles made by hand"
every_s = 1
timeout_s = 1
role = "select"

[[metric]]
name = "proof_troubles"
help = "What stands in the table of troubles."
labels = ["name"]

[alert]
rule = "{RULE}"
when = "value > 0"
for_s = 0
severity = "page"
subject = "name"
summary = "{{name}} is in trouble"
"""
CHECK_SQL = """
SELECT name, n AS value FROM public.trouble WHERE n > 0 ORDER BY name LIMIT 2000
"""
TABLE = "CREATE TABLE trouble (name text PRIMARY KEY, n int NOT NULL)"


class Troubles:
    """Things that are wrong because we say so."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def begin(self, *names: str) -> None:
        """These are wrong from now on."""
        self._connection.execute(
            "INSERT INTO trouble SELECT unnest(%s::text[]), 1 ON CONFLICT DO NOTHING",
            [list(names)],
        )

    def end(self, *names: str) -> None:
        """These are well again."""
        self._connection.execute("DELETE FROM trouble WHERE name = ANY(%s)", [list(names)])

    def replace(self, names: Sequence[str]) -> None:
        """These are wrong, and nothing else; at one moment."""
        with self._connection.transaction():
            self._connection.execute("DELETE FROM trouble")
            self.begin(*names)

    def end_all(self) -> None:
        """All is well."""
        self.replace(())


@contextlib.contextmanager
def stage(context: Context, routes: Sequence[str] = ("hook",)) -> Iterator[tuple[Rig, Desk]]:
    """A daemon ready to be started, told to page by `routes` and by no other way."""
    with desk() as tools, rig(context) as made:
        chosen = [each for each in tools.routes() if each["name"] in routes]
        page_by(made, chosen, tools.secrets())
        watch_troubles(made)
        make_table(made)
        yield made, tools


def page_by(made: Rig, routes: Sequence[Document], secrets: Mapping[str, str]) -> None:
    """Let the daemon tell by these routes, with these credentials."""
    folder = made.folder / "credentials"
    folder.mkdir(exist_ok=True)
    for name, value in secrets.items():
        (folder / name).write_text(f"{value}\n")
    made.env["CREDENTIALS_DIRECTORY"] = str(folder)
    made.document["alerting"] = {"routes": list(routes)}


def watch_troubles(made: Rig) -> None:
    """Let the daemon ask for troubles each second."""
    folder = made.folder / "checks.d"
    folder.mkdir(exist_ok=True)
    (folder / "troubles.toml").write_text(CHECK_TOML)
    (folder / "troubles.sql").write_text(CHECK_SQL)
    made.document["health"] = {"checks_dir": str(folder)}


def make_table(made: Rig) -> None:
    """The table of troubles, empty."""
    with made.connect() as connection:
        connection.execute(TABLE)


@contextlib.contextmanager
def troubles(made: Rig) -> Iterator[Troubles]:
    """The table of troubles, on a session of its own."""
    with made.connect("troubles") as connection:
        yield Troubles(connection)


def state_of(made: Rig) -> Path:
    """The daemon's state database."""
    return Path(made.document["daemon"]["state_dir"]) / "state.sqlite3"


def wait_events(kept: Kept, event: str, count: int, timeout_s: float = SEEN_WITHIN_S) -> None:
    """Wait until `event` was told of so many incidents.

    Raises:
        Late: it was not, in time.
    """
    until(
        lambda: len({e.told.incident for e in kept.arrived if e.told.event == event}) >= count,
        timeout_s,
        f"{count} of {event}",
    )


def linger(seconds: float) -> None:
    """Let time pass: what is claimed is that nothing happens, or that it lasts."""
    ends = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends, seconds + 5, "the time has passed")
