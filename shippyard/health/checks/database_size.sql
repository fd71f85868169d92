-- Every file is looked at, so it is asked seldom. It takes no lock on any table. A database that this
-- role may not ask about is left out.
SELECT datname, pg_database_size(oid)::float8 AS size_bytes
FROM pg_database
WHERE datallowconn
  AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))
ORDER BY size_bytes DESC NULLS LAST, datname
LIMIT 200
