-- Unlike any other autovacuum this one does not give way to DDL, which then waits with everyone behind
-- it. Its table is in its words, which are these in every version and never translated.
SELECT datname, substring(query FROM '^autovacuum: VACUUM (?:ANALYZE )?(.*) \(to prevent wraparound\)$') AS relation,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s
FROM pg_stat_activity
WHERE backend_type = 'autovacuum worker' AND starts_with(query, 'autovacuum: VACUUM ')
  AND query ~ '\(to prevent wraparound\)$'
ORDER BY age_s DESC
LIMIT 100
