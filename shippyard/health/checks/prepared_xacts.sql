-- A prepared transaction keeps its locks through restarts, for ever, until somebody ends it by name.
SELECT d.datname, count(p.gid) AS prepared,
       coalesce(extract(epoch FROM clock_timestamp() - min(p.prepared)), 0)::float8 AS oldest_s,
       (array_agg(left(p.gid, 200) ORDER BY p.prepared))[1] AS oldest_gid,
       (array_agg(p.owner ORDER BY p.prepared))[1] AS oldest_owner
FROM pg_database d
LEFT JOIN pg_prepared_xacts p ON p.database = d.datname
WHERE d.datallowconn
GROUP BY d.datname
ORDER BY oldest_s DESC, d.datname
LIMIT 200
