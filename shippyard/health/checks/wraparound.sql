-- No transaction begins any more 3,000,000 before 2^31 are used up. autovacuum_freeze_max_age is where
-- autovacuum begins to freeze by itself, so a freeze_ratio of 1 is ordinary.
SELECT datname, xid_age, mxid_age, greatest(xid_age, mxid_age) / 2144483647.0::float8 AS used_ratio,
       xid_age / current_setting('autovacuum_freeze_max_age')::float8 AS freeze_ratio
FROM (
  SELECT datname, age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS mxid_age
  FROM pg_database
) d
ORDER BY used_ratio DESC
LIMIT 200
