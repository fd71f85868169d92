-- Age counts from state_change, when it went idle, not from query_start. The query is its last one.
-- Every session is looked at only when some transaction is old enough: else there is none to find.
SELECT count(*) OVER () AS total,
       pid, backend_start, datname, usename, application_name, state,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS age_s,
       left(query, 1024) AS query
FROM pg_stat_activity
WHERE (SELECT bool_or(pg_stat_get_backend_xact_start(id) < statement_timestamp() - make_interval(secs => %(threshold_s)s))
       FROM pg_stat_get_backend_idset() AS id)
  AND backend_type = 'client backend'
  AND state IN ('idle in transaction', 'idle in transaction (aborted)')
  AND state_change < clock_timestamp() - make_interval(secs => %(threshold_s)s)
ORDER BY state_change
LIMIT 50
