-- WAL that waits for archive_command. Needs pg_monitor.
SELECT current_setting('archive_mode') <> 'off' AS archiving,
       count(*) FILTER (WHERE name LIKE '%%.ready') AS ready_files,
       coalesce(extract(epoch FROM clock_timestamp() - min(modification) FILTER (WHERE name LIKE '%%.ready')), 0)::float8
         AS oldest_s
FROM pg_ls_archive_statusdir()
