-- One row per session in a lock wait: those who wait (with whom they wait for), and the roots they
-- wait for, in one look. Who waits is taken from pg_locks: wait_event_type misses a waiter that runs
-- its deadlock check. pg_blocking_pids names hard blockers and those queued ahead; pid 0 is a
-- prepared transaction. The tree is built by the caller: as a recursive query it takes 2^n paths.
-- Sessions are looked at only when somebody waits, by the function beneath pg_stat_activity.
WITH waiting AS MATERIALIZED (
  SELECT DISTINCT ON (pid) pid, locktype, mode, database, relation, waitstart
  FROM pg_locks
  WHERE NOT granted AND pid IS NOT NULL
  ORDER BY pid, waitstart
), edges AS MATERIALIZED (
  SELECT w.*, pg_blocking_pids(w.pid) AS blockers
  FROM (SELECT * FROM waiting ORDER BY waitstart NULLS LAST LIMIT 1000) w
), parties AS (
  -- A hot row has as many pairs as the square of its waiters: they are gone through once.
  SELECT DISTINCT unnest(pid || blockers) AS pid FROM edges
)
SELECT p.pid, a.backend_start, d.datname, pg_get_userbyid(a.usesysid) AS usename, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_age_s,
       left(a.query, 1024) AS query,
       e.locktype, e.mode,
       -- never ::regclass, which looks the name up row by row and can wait for the lock
       CASE WHEN e.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN coalesce((SELECT format('%%I.%%I', n.nspname, c.relname)
                           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE c.oid = e.relation), e.relation::text)
            ELSE e.relation::text END AS relation,
       -- waitstart is NULL for the first instants of a wait; when its statement began says nothing
       CASE WHEN e.pid IS NOT NULL
            THEN coalesce(extract(epoch FROM clock_timestamp() - e.waitstart)::float8, 0)
            END AS wait_s,
       coalesce(e.blockers, '{}') AS blockers
FROM parties p
LEFT JOIN edges e ON e.pid = p.pid
LEFT JOIN (
  SELECT * FROM pg_stat_get_activity(NULL) WHERE EXISTS (SELECT FROM edges)
) a ON a.pid = p.pid
LEFT JOIN pg_database d ON d.oid = a.datid
ORDER BY e.pid IS NOT NULL, wait_s DESC NULLS LAST
LIMIT 2000
