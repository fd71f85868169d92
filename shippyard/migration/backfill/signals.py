"""Owns looking at the server between batches: replicas behind, WAL written, sessions that wait."""

from psycopg import sql

from shippyard.host.clock import Clock
from shippyard.migration.backfill.server import Server
from shippyard.migration.backfill.throttle import Signals

# A replica that is behind and says nothing lags at least as long as it has been silent. What only
# receives WAL replays nothing and has no say.
SIGNALS_SQL = sql.SQL("""
SELECT
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes,
    (SELECT max(extract(epoch FROM greatest(
        r.replay_lag,
        CASE WHEN r.replay_lsn < pg_catalog.pg_current_wal_flush_lsn()
            THEN pg_catalog.clock_timestamp() - r.reply_time END
    )))::float8 FROM pg_catalog.pg_stat_replication r
    WHERE r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL) AS lag_s,
    (SELECT count(DISTINCT l.pid) FROM pg_catalog.pg_locks l
    WHERE NOT l.granted AND l.pid <> pg_catalog.pg_backend_pid()) AS blocked
""")


class SignalReader:
    """Looks at one server again and again; a rate needs two looks."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._wal_bytes: int | None = None
        self._at_s = clock.monotonic()

    def read(self) -> Signals:
        """How the server is now."""
        row = self._server.ask(SIGNALS_SQL)[0]
        now_s = self._clock.monotonic()
        over_s, before = max(now_s - self._at_s, 1e-3), self._wal_bytes
        self._wal_bytes, self._at_s = int(row["wal_bytes"]), now_s
        rate = None if before is None else (self._wal_bytes - before) / over_s
        return Signals(row["lag_s"], rate, int(row["blocked"]), over_s)

    @property
    def age_s(self) -> float:
        """How long ago the last look was."""
        return self._clock.monotonic() - self._at_s
