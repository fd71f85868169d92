-- What takes long and says how far it is. Several of a kind in one database are one: how many, the oldest,
-- and the one that has the most left to do.
WITH work AS MATERIALIZED (
  SELECT 'create_index' AS op, pid, datname, blocks_done AS done, blocks_total AS total
  FROM pg_stat_progress_create_index
  UNION ALL
  SELECT 'cluster', pid, datname, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_cluster
  UNION ALL
  SELECT 'vacuum', pid, datname, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum
  UNION ALL
  SELECT 'analyze', pid, datname, sample_blks_scanned, sample_blks_total FROM pg_stat_progress_analyze
  UNION ALL
  SELECT 'basebackup', pid, '', backup_streamed, backup_total FROM pg_stat_progress_basebackup
)
SELECT w.op, coalesce(w.datname, '') AS datname, count(*) AS n, min(w.done::float8 / nullif(w.total, 0)) AS done_ratio,
       max(extract(epoch FROM clock_timestamp()
         - CASE WHEN w.op = 'basebackup' THEN a.backend_start ELSE a.xact_start END))::float8 AS age_s
FROM work w
LEFT JOIN LATERAL pg_stat_get_activity(w.pid) a ON true
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 50
