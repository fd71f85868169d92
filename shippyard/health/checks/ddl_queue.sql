-- DDL that waits for its table, and those that queue behind it: everyone who comes after waits too, even
-- to read. Which table, and who, the blocking tree says.
WITH queues AS (
  SELECT w.database, w.relation,
         count(*) FILTER (WHERE w.mode = 'AccessExclusiveLock') AS ddl,
         count(*) FILTER (WHERE w.mode <> 'AccessExclusiveLock') AS behind,
         max(extract(epoch FROM clock_timestamp() - w.waitstart)) FILTER (WHERE w.mode = 'AccessExclusiveLock') AS wait_s
  FROM pg_locks w
  WHERE NOT w.granted AND w.locktype = 'relation'
  GROUP BY 1, 2
  HAVING bool_or(w.mode = 'AccessExclusiveLock')
)
SELECT count(*) AS tables, coalesce(sum(ddl), 0)::bigint AS ddl,
       coalesce(sum(behind), 0)::bigint AS behind, coalesce(max(wait_s), 0)::float8 AS wait_s
FROM queues
