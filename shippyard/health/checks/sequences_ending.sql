-- As sequences, but only those that are about to end: a check has one alert, and this one pages.
WITH candidates AS MATERIALIZED (
  SELECT c.oid, n.nspname || '.' || c.relname AS relation, q.seqincrement, q.seqmin, q.seqmax,
         has_sequence_privilege(c.oid, 'SELECT') OR has_sequence_privilege(c.oid, 'USAGE') AS readable,
         least(q.seqmax, (
           SELECT CASE format_type(a.atttypid, NULL) WHEN 'smallint' THEN 32767 WHEN 'integer' THEN 2147483647 END
           FROM pg_depend d
           JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
           WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.refclassid = c.tableoid AND d.deptype IN ('a', 'i')
           LIMIT 1
         )) AS ceiling
  FROM pg_sequence q
  JOIN pg_class c ON c.oid = q.seqrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT q.seqcycle AND c.relpersistence <> 't' AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery())
), free AS MATERIALIZED (
  SELECT * FROM candidates s
  WHERE readable AND NOT EXISTS (
    SELECT 1 FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = s.oid AND l.pid <> pg_backend_pid()
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  )
  ORDER BY ceiling, oid
  LIMIT 1000
), used AS MATERIALIZED (
  SELECT relation, ceiling, pg_sequence_last_value(oid) AS last_value, seqincrement, seqmin, seqmax
  FROM free
), shares AS (
  SELECT relation, last_value,
         CASE WHEN seqincrement > 0 THEN (last_value - seqmin::float8) / nullif(ceiling - seqmin::float8, 0)
              ELSE (seqmax::float8 - last_value) / nullif(seqmax - seqmin::float8, 0) END AS used_ratio
  FROM used
  WHERE last_value IS NOT NULL
)
SELECT relation, last_value, used_ratio
FROM shares
WHERE used_ratio >= %(end_ratio)s
ORDER BY used_ratio DESC, relation
LIMIT 20
