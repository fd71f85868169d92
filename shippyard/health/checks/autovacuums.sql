-- Those that give way: but only to somebody who waits for longer than deadlock_timeout (1 s), which
-- nobody with a shorter lock_timeout does. The table is in its words, as in freeze_vacuums.
SELECT datname, substring(query FROM '^autovacuum: (?:VACUUM ANALYZE|VACUUM|ANALYZE) (.*)$') AS relation,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s
FROM pg_stat_activity
WHERE backend_type = 'autovacuum worker' AND starts_with(query, 'autovacuum: ')
  AND query ~ '^autovacuum: (VACUUM|ANALYZE) '
  AND query !~ '\(to prevent wraparound\)$'
ORDER BY age_s DESC
LIMIT 100
