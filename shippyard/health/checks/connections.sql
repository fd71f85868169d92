-- Bounded: the 50 busiest pairs of database and user, the rest folded into '(other)'.
WITH sessions AS MATERIALIZED (
  SELECT coalesce(datname, '') AS datname, coalesce(usename, '') AS usename, coalesce(state, 'unknown') AS state,
         count(*) AS n, count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_waiting, min(xact_start) AS since
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  GROUP BY 1, 2, 3
), busiest AS (
  SELECT datname, usename
  FROM sessions
  GROUP BY 1, 2
  ORDER BY sum(n) DESC, 1, 2
  LIMIT 50
)
SELECT coalesce(b.datname, '(other)') AS datname, coalesce(b.usename, '(other)') AS usename,
       s.state, sum(s.n)::bigint AS n, sum(s.lock_waiting)::bigint AS lock_waiting,
       coalesce(extract(epoch FROM clock_timestamp() - min(s.since)), 0)::float8 AS max_xact_age_s
FROM sessions s
LEFT JOIN busiest b USING (datname, usename)
GROUP BY 1, 2, 3
ORDER BY n DESC, 1, 2, 3
