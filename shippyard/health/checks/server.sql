SELECT current_setting('server_version_num')::int AS version_num,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS start_time_s,
       extract(epoch FROM pg_conf_load_time())::float8 AS conf_load_s,
       pg_is_in_recovery() AS in_recovery,
       current_setting('data_checksums') = 'on' AS checksums_on
