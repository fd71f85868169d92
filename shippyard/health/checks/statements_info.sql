SELECT dealloc, extract(epoch FROM stats_reset)::float8 AS reset_time_s
FROM {extension_schema}.pg_stat_statements_info
