-- Where the cluster keeps its files. The data directory is told to members of pg_read_all_settings (so
-- of pg_monitor) only; from others its row is missing.
SELECT 'data' AS place, setting AS path FROM pg_settings WHERE name = 'data_directory'
UNION ALL
SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''
ORDER BY 1
LIMIT 100
