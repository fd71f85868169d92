-- From the planner's statistics alone: no lock, no table is read; right to about a fifth. pg_stats shows
-- columns only to a role that may SELECT them, and none of a table whose row security binds that role:
-- tables that can't be judged are counted in a row of their own, without a name.
WITH large AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relpages, c.reltuples, current_setting('block_size')::int AS block_size,
         coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100)
           AS fillfactor
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.relpages >= %(min_pages)s AND c.reltuples >= 0
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
), judged AS (
  SELECT l.*, s.row_bytes,
         -- a row's bytes are rounded up to eight, and it has a pointer of four
         greatest(0, l.relpages - ceil(l.reltuples * (ceil(s.row_bytes / 8.0) * 8 + 4)
           / ((l.block_size - 24) * l.fillfactor / 100.0)))::float8 AS spare_pages
  FROM large l
  LEFT JOIN LATERAL (
    SELECT 24 + CASE WHEN max(st.null_frac) > 0 THEN 8 ELSE 0 END + sum((1 - st.null_frac) * st.avg_width) AS row_bytes
    FROM pg_stats st
    WHERE st.schemaname = l.nspname AND st.tablename = l.relname AND NOT st.inherited
  ) s ON true
), worst AS (
  SELECT nspname || '.' || relname AS relation, spare_pages * block_size AS bloat_bytes,
         spare_pages / relpages AS bloat_ratio
  FROM judged
  WHERE row_bytes IS NOT NULL
  ORDER BY 2 DESC, 1
  LIMIT 20
)
SELECT relation, bloat_bytes, bloat_ratio, NULL::bigint AS unjudged FROM worst
UNION ALL
SELECT NULL, NULL, NULL, count(*) FROM judged WHERE row_bytes IS NULL
