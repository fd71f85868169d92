-- Since 18 writing and syncing are in pg_stat_io.
SELECT w.wal_records, w.wal_fpi, w.wal_bytes::float8 AS wal_bytes, w.wal_buffers_full, io.writes, io.syncs,
       io.write_s, io.sync_s
FROM pg_stat_wal w
CROSS JOIN (
  SELECT sum(writes)::bigint AS writes, sum(fsyncs)::bigint AS syncs,
         (sum(write_time) / 1e3)::float8 AS write_s, (sum(fsync_time) / 1e3)::float8 AS sync_s
  FROM pg_stat_io WHERE object = 'wal'
) io
