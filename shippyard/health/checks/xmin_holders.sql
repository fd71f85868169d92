-- Who keeps old row versions from being removed, and makes a concurrent build wait: the oldest snapshot
-- of each kind. Vacuum's own is not counted, nobody waits for it. A walsender's is its standby's.
-- `others_s` leaves out Shippyard's own.
SELECT 'session' AS kind, coalesce(datname, '') AS datname, max(age(backend_xmin))::bigint AS xmin_age,
       max(extract(epoch FROM clock_timestamp() - xact_start))::float8 AS held_s,
       max(extract(epoch FROM clock_timestamp() - xact_start))
         FILTER (WHERE NOT starts_with(coalesce(application_name, ''), 'shippyard:'))::float8 AS others_s
FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
  AND backend_type NOT IN ('walsender', 'autovacuum worker')
GROUP BY 2
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
UNION ALL
SELECT 'standby', '', max(age(backend_xmin))::bigint, NULL, NULL
FROM pg_stat_replication
HAVING max(age(backend_xmin)) IS NOT NULL
ORDER BY xmin_age DESC
LIMIT 200
