-- Works on a cascading standby too, where pg_current_wal_lsn() raises. Receivers are known by name,
-- address and slot, never by pid; several of one name count as the worst of them. From the functions
-- beneath pg_stat_replication, which looks at every session to find the few that send.
WITH p AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
              ELSE pg_current_wal_lsn() END AS lsn
)
SELECT a.application_name, coalesce(a.client_addr::text, 'local') AS client_addr, s.slot_name,
       count(*) AS n,
       bool_and(r.state = 'streaming') AS streaming,
       max(pg_wal_lsn_diff(p.lsn, r.sent_lsn))::float8 AS send_lag_bytes,
       max(pg_wal_lsn_diff(p.lsn, r.flush_lsn))::float8 AS flush_lag_bytes,
       max(pg_wal_lsn_diff(p.lsn, r.replay_lsn))::float8 AS replay_lag_bytes,
       max(coalesce(extract(epoch FROM r.replay_lag), 0))::float8 AS replay_lag_s,
       max(extract(epoch FROM clock_timestamp() - r.reply_time))::float8 AS since_reply_s
FROM pg_stat_get_wal_senders() r
CROSS JOIN LATERAL pg_stat_get_activity(r.pid) a
CROSS JOIN p
LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
LIMIT 100
