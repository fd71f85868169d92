-- Who keeps old row versions from being removed, and makes a concurrent build wait: the oldest snapshot
-- of each kind. Vacuum's own is not counted, nobody waits for it. A walsender's is its standby's.
-- `others_s` leaves out Shippyard's own.
WITH snapshots AS (
  SELECT CASE WHEN backend_type = 'walsender' THEN 'standby' ELSE 'session' END AS kind,
         CASE WHEN backend_type = 'walsender' THEN '' ELSE coalesce(datname, '') END AS datname,
         age(backend_xmin) AS xmin_age, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS held_s,
         starts_with(coalesce(application_name, ''), 'shippyard:') AS ours
  FROM pg_stat_activity
  WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
)
SELECT kind, datname, max(xmin_age)::bigint AS xmin_age, max(held_s) AS held_s,
       max(held_s) FILTER (WHERE NOT ours) AS others_s
FROM snapshots
GROUP BY 1, 2
UNION ALL
SELECT 'prepared', database, max(age(transaction))::bigint,
       max(extract(epoch FROM clock_timestamp() - prepared))::float8,
       max(extract(epoch FROM clock_timestamp() - prepared))::float8
FROM pg_prepared_xacts
GROUP BY 2
UNION ALL
SELECT 'slot', coalesce(database, ''), max(greatest(age(xmin), age(catalog_xmin)))::bigint, NULL, NULL
FROM pg_replication_slots
WHERE coalesce(xmin, catalog_xmin) IS NOT NULL
GROUP BY 2
ORDER BY xmin_age DESC
LIMIT 200
