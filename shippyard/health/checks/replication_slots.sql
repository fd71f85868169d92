-- Columns differ by version: conflicting came with 16, inactive_since and invalidation_reason with 17. A
-- row as JSON has those that there are.
WITH p AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
              ELSE pg_current_wal_lsn() END AS lsn
)
SELECT s.slot_name, s.slot_type, coalesce(s.database, '') AS datname, s.active,
       coalesce(s.wal_status, '') AS wal_status, coalesce(s.wal_status = 'lost', false) AS lost,
       pg_wal_lsn_diff(p.lsn, s.restart_lsn)::float8 AS retained_bytes,
       s.safe_wal_size::float8 AS safe_bytes,
       extract(epoch FROM clock_timestamp() - (j.slot ->> 'inactive_since')::timestamptz)::float8 AS inactive_s,
       coalesce(j.slot ->> 'invalidation_reason',
                CASE WHEN (j.slot ->> 'conflicting')::bool THEN 'conflicting' END) AS invalidation_reason
FROM pg_replication_slots s
CROSS JOIN p
CROSS JOIN LATERAL (SELECT to_jsonb(s) AS slot) j
ORDER BY retained_bytes DESC NULLS LAST, s.slot_name
LIMIT 100
