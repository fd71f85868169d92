WITH open_transactions AS (
  SELECT datname, xact_start AS since, 0 AS prepared
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND xact_start IS NOT NULL
    AND NOT starts_with(coalesce(application_name, ''), 'shippyard:')
  UNION ALL
  SELECT database, prepared, 1 FROM pg_prepared_xacts
)
SELECT d.datname,
       coalesce(extract(epoch FROM clock_timestamp() - min(t.since)), 0)::float8 AS longest_s,
       coalesce(sum(t.prepared), 0)::bigint AS prepared
FROM pg_database d
LEFT JOIN open_transactions t USING (datname)
WHERE d.datallowconn
GROUP BY d.datname
ORDER BY longest_s DESC, d.datname
LIMIT 200
