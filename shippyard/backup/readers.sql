-- Who reads this whole database now: our own dumps and digests, on whatever host, and pg_dump as others
-- start it. Names of applications are told to everybody.
SELECT a.pid, a.application_name AS name, coalesce(host(a.client_addr), 'local') AS client
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.backend_xmin IS NOT NULL
  AND a.application_name IN ('shippyard:backup', 'pg_dump')
ORDER BY a.backend_start
LIMIT 1
