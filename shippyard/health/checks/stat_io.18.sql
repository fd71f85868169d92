-- Who reads and writes what. Rare kinds of processes are one, to keep the series few; what a kind never
-- does is NULL, and has no series. Since 18 WAL is among it.
SELECT CASE WHEN backend_type IN ('client backend', 'autovacuum worker', 'background writer', 'checkpointer')
            THEN backend_type ELSE 'other' END AS backend,
       object, context,
       sum(reads)::bigint AS reads, sum(read_bytes)::float8 AS read_bytes, (sum(read_time) / 1e3)::float8 AS read_s,
       sum(writes)::bigint AS writes, sum(write_bytes)::float8 AS write_bytes, (sum(write_time) / 1e3)::float8 AS write_s,
       sum(extends)::bigint AS extends, sum(hits)::bigint AS hits, sum(evictions)::bigint AS evictions,
       sum(fsyncs)::bigint AS fsyncs, (sum(fsync_time) / 1e3)::float8 AS fsync_s
FROM pg_stat_io
GROUP BY 1, 2, 3
HAVING coalesce(sum(reads), 0) + coalesce(sum(writes), 0) + coalesce(sum(hits), 0) + coalesce(sum(extends), 0) > 0
ORDER BY 1, 2, 3
LIMIT 100
