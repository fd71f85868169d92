"""Sessions by database, user and state: who is many is named, the rest are one."""

from contextlib import ExitStack

from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.session import session
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of

CONNECTIONS = next(check for check in load_checks(Health()) if check.name == "connections")
IDLE = ("postgres", "postgres", "idle")
OPEN = ("postgres", "postgres", "idle in transaction")
OTHER = ("(other)", "(other)", "idle")


def test_who_is_beyond_the_busiest_is_other(
    cluster: EmbeddedCluster, eventually: Eventually
) -> None:
    watcher = watcher_of(cluster.target())
    sql = CONNECTIONS.sql_for(150_000).replace("LIMIT 50", "LIMIT 1")
    with ExitStack() as undo:
        holder, *_ = [undo.enter_context(connect(cluster.target())) for _ in range(3)]
        undo.enter_context(connect(watcher))
        opened = undo.enter_context(session(watcher, "test"))
        holder.execute("BEGIN")

        def counted() -> bool:
            """Whether those of the tests before are gone."""
            rows = opened.query(sql)
            counts = {(row["datname"], row["usename"], row["state"]): row["n"] for row in rows}
            return counts == {IDLE: 2, OPEN: 1, OTHER: 1}

        eventually(counted)
        ages = {row["state"]: row["max_xact_age_s"] for row in opened.query(sql)}
    assert ages["idle in transaction"] > 0 == ages["idle"]
