-- (false) leaves the texts on disk, where they are. Users and nesting are summed up: they would give
-- twins, as would statements of databases that are gone.
SELECT s.dbid, d.datname, s.queryid,
       sum(s.calls)::bigint AS calls, sum(s.rows)::bigint AS rows,
       (sum(s.total_exec_time) / 1e3)::float8 AS exec_s, (sum(s.total_plan_time) / 1e3)::float8 AS plan_s,
       sum(s.shared_blks_hit)::bigint AS blks_hit, sum(s.shared_blks_read)::bigint AS blks_read,
       sum(s.temp_blks_written)::bigint AS temp_blks_written,
       (sum(s.shared_blk_read_time) / 1e3)::float8 AS blk_read_s, sum(s.wal_bytes)::float8 AS wal_bytes
FROM {extension_schema}.pg_stat_statements(false) s
JOIN pg_database d ON d.oid = s.dbid
WHERE s.queryid IS NOT NULL
GROUP BY 1, 2, 3
ORDER BY exec_s DESC
LIMIT 500
