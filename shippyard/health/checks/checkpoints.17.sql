-- Since 17 the checkpointer has a view of its own, and what backends wrote themselves is in pg_stat_io.
SELECT c.num_timed AS timed, c.num_requested AS requested,
       c.write_time / 1e3::float8 AS write_s, c.sync_time / 1e3::float8 AS sync_s,
       c.buffers_written AS buffers_checkpoint, b.buffers_clean, b.maxwritten_clean,
       (SELECT sum(writes)::bigint FROM pg_stat_io
        WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')) AS buffers_backend,
       b.buffers_alloc
FROM pg_stat_checkpointer c CROSS JOIN pg_stat_bgwriter b
