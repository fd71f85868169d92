-- Only a client backend counts against max_connections: walsenders, autovacuum, parallel and
-- background workers have slots of their own. reserved_connections is NULL before PostgreSQL 16.
-- The function beneath pg_stat_activity: no names are looked up for sessions that are only counted.
SELECT max_connections, usable, used, walsenders, used::float8 / nullif(usable, 0) AS used_ratio
FROM (
  SELECT current_setting('max_connections')::int AS max_connections,
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable,
         count(*) FILTER (WHERE backend_type = 'client backend') AS used,
         count(*) FILTER (WHERE backend_type = 'walsender') AS walsenders
  FROM pg_stat_get_activity(NULL)
) c
