-- Sessions of backups whose client is gone: of our role, from this very host, in this database, or
-- of a base backup. Asked only by one who holds the locks that every live attempt would hold.
SELECT a.pid,
       a.application_name AS name,
       pg_catalog.pg_terminate_backend(a.pid) AS ended
FROM pg_catalog.pg_stat_activity a
JOIN pg_catalog.pg_stat_activity me ON me.pid = pg_catalog.pg_backend_pid()
WHERE a.pid <> me.pid
  AND a.usename = me.usename
  AND a.client_addr IS NOT DISTINCT FROM me.client_addr
  AND (a.application_name = 'shippyard:backup' OR pg_catalog.starts_with(a.application_name, 'shippyard:backup:'))
  AND CASE WHEN %(of_cluster)s THEN a.backend_type = 'walsender' ELSE a.datname = me.datname END
