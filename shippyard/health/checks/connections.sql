-- Bounded: the 50 busiest pairs of database and user, the rest folded into '(other)'. Counted by
-- identity, from the function beneath pg_stat_activity, and named after.
WITH sessions AS MATERIALIZED (
  SELECT datid, usesysid, coalesce(state, 'unknown') AS state,
         count(*) AS n, count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_waiting, min(xact_start) AS since
  FROM pg_stat_get_activity(NULL)
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  GROUP BY 1, 2, 3
), busiest AS (
  SELECT s.datid, s.usesysid, coalesce(d.datname, '') AS datname,
         coalesce(pg_get_userbyid(s.usesysid), '') AS usename
  FROM (
    SELECT datid, usesysid, sum(n) AS n
    FROM sessions
    GROUP BY 1, 2
    ORDER BY n DESC, 1, 2
    LIMIT 50
  ) s
  LEFT JOIN pg_database d ON d.oid = s.datid
)
SELECT coalesce(b.datname, '(other)') AS datname, coalesce(b.usename, '(other)') AS usename,
       s.state, sum(s.n)::bigint AS n, sum(s.lock_waiting)::bigint AS lock_waiting,
       coalesce(extract(epoch FROM clock_timestamp() - min(s.since)), 0)::float8 AS max_xact_age_s
FROM sessions s
LEFT JOIN busiest b ON b.datid IS NOT DISTINCT FROM s.datid AND b.usesysid IS NOT DISTINCT FROM s.usesysid
GROUP BY 1, 2, 3
ORDER BY n DESC, 1, 2, 3
