-- Counters of the checkpointer and of those that write in its stead.
SELECT checkpoints_timed AS timed, checkpoints_req AS requested,
       checkpoint_write_time / 1e3::float8 AS write_s, checkpoint_sync_time / 1e3::float8 AS sync_s,
       buffers_checkpoint, buffers_clean, maxwritten_clean, buffers_backend, buffers_alloc
FROM pg_stat_bgwriter
