-- An idle session keeps its last query_start for ever, so state is asked for. backend_type leaves
-- out walsenders, autovacuum and parallel workers. A dump is as long as the data is large, and what
-- Shippyard itself runs has its own deadlines. Who waits for a lock is a victim: the page of the
-- block names its root, and ending the victim would help nobody.
-- Every session is looked at only when some statement is old enough: else there is none to find.
SELECT count(*) OVER () AS total,
       pid, backend_start, datname, usename, application_name, state,
       extract(epoch FROM clock_timestamp() - query_start)::float8 AS age_s,
       left(query, 1024) AS query
FROM pg_stat_activity
WHERE (SELECT bool_or(pg_stat_get_backend_activity_start(id) < statement_timestamp() - make_interval(secs => %(threshold_s)s)
                      AND pg_stat_get_backend_xact_start(id) IS NOT NULL)
       FROM pg_stat_get_backend_idset() AS id)
  AND backend_type = 'client backend'
  AND state IN ('active', 'fastpath function call')
  AND pid <> pg_backend_pid()
  AND wait_event_type IS DISTINCT FROM 'Lock'
  AND coalesce(application_name, '') <> 'pg_dump'
  AND NOT starts_with(coalesce(application_name, ''), 'shippyard:')
  AND query_start < clock_timestamp() - make_interval(secs => %(threshold_s)s)
ORDER BY query_start
LIMIT 50
