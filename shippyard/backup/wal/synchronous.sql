-- Settings that say whether a commit waits for receivers, and who receives now.
SELECT
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') AS synchronous_standby_names,
    coalesce(
        (
            SELECT jsonb_agg(jsonb_build_object(
                'name', application_name,
                'state', sync_state,
                'address', host(client_addr),
                'is_local', client_addr IS NULL
                    OR client_addr <<= '127.0.0.0/8' OR client_addr = '::1'
                    OR client_addr = inet_server_addr()
            ))
            FROM pg_stat_replication
        ),
        '[]'
    ) AS receivers
