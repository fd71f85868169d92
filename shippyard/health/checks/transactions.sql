-- From the function beneath pg_stat_activity: sessions are gone through by identity, not by name.
WITH open_transactions AS (
  SELECT datid, xact_start AS since, 0 AS prepared
  FROM pg_stat_get_activity(NULL)
  WHERE backend_type = 'client backend' AND xact_start IS NOT NULL
    AND NOT starts_with(coalesce(application_name, ''), 'shippyard:')
  UNION ALL
  SELECT d.oid, p.prepared, 1 FROM pg_prepared_xacts p JOIN pg_database d ON d.datname = p.database
)
SELECT d.datname,
       coalesce(extract(epoch FROM clock_timestamp() - min(t.since)), 0)::float8 AS longest_s,
       coalesce(sum(t.prepared), 0)::bigint AS prepared
FROM pg_database d
LEFT JOIN open_transactions t ON t.datid = d.oid
WHERE d.datallowconn
GROUP BY d.datname
ORDER BY longest_s DESC, d.datname
LIMIT 200
