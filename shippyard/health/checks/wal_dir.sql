-- Needs pg_monitor.
SELECT count(*) AS files, coalesce(sum(size), 0)::float8 AS size_bytes FROM pg_ls_waldir()
