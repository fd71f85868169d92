-- The ten largest tables and the ten that wait most for vacuum. Size is what the planner believes: the
-- functions that measure it take a lock, and wait behind DDL. Pressure is dead rows against the number at
-- which autovacuum comes.
WITH settings AS (
  SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS threshold,
         current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale_factor,
         current_setting('block_size')::int AS block_size
), tables AS (
  SELECT n.nspname || '.' || c.relname AS relation, c.relpages::float8 * g.block_size AS heap_bytes,
         s.n_live_tup, s.n_dead_tup, s.n_mod_since_analyze, s.seq_scan, s.idx_scan, s.autovacuum_count,
         extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS since_vacuum_s,
         s.n_dead_tup / greatest(1, (coalesce(own.threshold, g.threshold)
           + coalesce(own.scale_factor, g.scale_factor) * greatest(c.reltuples, 0))) AS vacuum_pressure
  FROM pg_stat_user_tables s
  JOIN pg_class c ON c.oid = s.relid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN settings g
  CROSS JOIN LATERAL (
    SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS threshold,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS scale_factor
    FROM pg_options_to_table(c.reloptions)
  ) own
), ranked AS (
  SELECT *, row_number() OVER (ORDER BY heap_bytes DESC, relation) AS by_size,
         row_number() OVER (ORDER BY vacuum_pressure DESC, relation) AS by_pressure
  FROM tables
)
SELECT relation, heap_bytes, n_live_tup, n_dead_tup, n_mod_since_analyze, seq_scan, idx_scan,
       autovacuum_count, since_vacuum_s, vacuum_pressure::float8 AS vacuum_pressure
FROM ranked
WHERE by_size <= 10 OR by_pressure <= 10
ORDER BY heap_bytes DESC, relation
LIMIT 20
