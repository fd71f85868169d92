-- Bounded: the 50 busiest pairs of database and user, the rest folded into '(other)'.
WITH a AS (
  SELECT coalesce(datname, '') AS datname, coalesce(usename, '') AS usename, coalesce(state, 'unknown') AS state,
         count(*) AS n, count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_waiting,
         coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS max_xact_age_s
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  GROUP BY 1, 2, 3
), r AS (
  SELECT *, dense_rank() OVER (ORDER BY t DESC, datname, usename) AS rk
  FROM (SELECT *, sum(n) OVER (PARTITION BY datname, usename) AS t FROM a) x
)
SELECT CASE WHEN rk <= 50 THEN datname ELSE '(other)' END AS datname,
       CASE WHEN rk <= 50 THEN usename ELSE '(other)' END AS usename,
       state, sum(n)::bigint AS n, sum(lock_waiting)::bigint AS lock_waiting, max(max_xact_age_s) AS max_xact_age_s
FROM r
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
