-- Never scanned since statistics began, which must be long ago; what enforces something, or belongs to
-- a partitioned index, has its use. A standby may use what its primary doesn't.
SELECT n.nspname || '.' || c.relname AS relation, n.nspname || '.' || i.relname AS index_name,
       i.relpages::float8 * current_setting('block_size')::int AS size_bytes,
       extract(epoch FROM clock_timestamp() - coalesce(d.stats_reset, pg_postmaster_start_time()))::float8 AS stats_age_s
FROM pg_stat_user_indexes s
JOIN pg_index x ON x.indexrelid = s.indexrelid
JOIN pg_class i ON i.oid = s.indexrelid
JOIN pg_class c ON c.oid = s.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) d
WHERE s.idx_scan = 0 AND x.indisvalid AND NOT x.indisunique AND NOT x.indisexclusion AND NOT x.indisreplident
  AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid)
  AND NOT EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhrelid = x.indexrelid)
  AND i.relpages >= %(min_pages)s
  AND coalesce(d.stats_reset, pg_postmaster_start_time()) < clock_timestamp() - make_interval(secs => %(min_stats_age_s)s)
ORDER BY size_bytes DESC, 2
LIMIT 50
