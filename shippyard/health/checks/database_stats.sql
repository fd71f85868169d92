-- Counters, never ratios: a ratio over a lifetime doesn't move. The row without a name is what the
-- databases share. The busiest come first: they are shown when there are too many.
SELECT coalesce(datname, '(shared)') AS datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit,
       tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks,
       checksum_failures,
       extract(epoch FROM clock_timestamp() - checksum_last_failure)::float8 AS since_checksum_failure_s,
       (blk_read_time / 1e3)::float8 AS blk_read_s, (blk_write_time / 1e3)::float8 AS blk_write_s,
       (session_time / 1e3)::float8 AS session_s, (active_time / 1e3)::float8 AS active_s,
       (idle_in_transaction_time / 1e3)::float8 AS idle_in_xact_s,
       sessions, sessions_abandoned, sessions_fatal, sessions_killed
FROM pg_stat_database
ORDER BY xact_commit + xact_rollback DESC, datname
LIMIT 200
