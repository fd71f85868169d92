SELECT wal_records, wal_fpi, wal_bytes::float8 AS wal_bytes, wal_buffers_full, wal_write AS writes, wal_sync AS syncs,
       wal_write_time / 1e3::float8 AS write_s, wal_sync_time / 1e3::float8 AS sync_s
FROM pg_stat_wal
