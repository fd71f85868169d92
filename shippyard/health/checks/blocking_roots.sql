-- A second look at who blocks whom, all in SQL, to hold against the tree: roots, and who waits for each
-- of them directly or through others. UNION, not UNION ALL, keeps it to roots times waiters. A prepared
-- transaction is pid 0. A row's update queues an AccessExclusiveLock of locktype tuple: that is no DDL.
WITH RECURSIVE waiting AS MATERIALIZED (
  SELECT pid, min(waitstart) AS waitstart
  FROM pg_locks
  WHERE NOT granted AND pid IS NOT NULL
  GROUP BY pid
  ORDER BY 2 NULLS LAST
  LIMIT 1000
), edges AS MATERIALIZED (
  SELECT w.pid AS waiter, b.pid AS blocker
  FROM waiting w CROSS JOIN LATERAL (SELECT DISTINCT unnest(pg_blocking_pids(w.pid)) AS pid) b
), roots AS (
  SELECT DISTINCT e.blocker AS pid FROM edges e
  WHERE NOT EXISTS (SELECT 1 FROM edges f WHERE f.waiter = e.blocker)
), reach (root, pid) AS (
  SELECT pid, pid FROM roots
  UNION
  SELECT r.root, e.waiter FROM reach r JOIN edges e ON e.blocker = r.pid
), victims AS (
  SELECT r.root, count(*) AS n, max(extract(epoch FROM clock_timestamp() - w.waitstart)) AS longest_s
  FROM reach r LEFT JOIN waiting w ON w.pid = r.pid
  WHERE r.pid <> r.root
  GROUP BY r.root
)
SELECT count(v.root) AS roots,
       coalesce(max(v.n), 0) AS most_victims,
       coalesce(max(v.longest_s), 0)::float8 AS longest_wait_s,
       coalesce(max(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))), 0)::float8
         AS oldest_root_s
FROM victims v
LEFT JOIN pg_stat_activity a ON a.pid = v.root
LEFT JOIN (SELECT min(prepared) AS prepared FROM pg_prepared_xacts) p ON v.root = 0
