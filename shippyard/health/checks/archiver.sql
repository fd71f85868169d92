-- Failing means that the last failure is newer than the last success. Time since the last success
-- alone says nothing: an idle server archives nothing.
SELECT archived_count, failed_count,
       extract(epoch FROM clock_timestamp() - last_archived_time)::float8 AS since_archived_s,
       extract(epoch FROM clock_timestamp() - last_failed_time)::float8 AS since_failed_s,
       current_setting('archive_mode') <> 'off'
         AND coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing,
       last_failed_wal
FROM pg_stat_archiver
