-- What a base backup needs to know of the server before it begins.
-- Works for a role that may only connect; what it can't see is NULL.
SELECT
    current_setting('wal_level') AS wal_level,
    current_setting('max_wal_senders')::int AS max_wal_senders,
    (SELECT count(*) FROM pg_stat_replication)::int AS wal_senders,
    current_setting('summarize_wal', true) AS summarize_wal,
    -- The server's build, not its version, says what it can compress with.
    (SELECT coalesce('zstd' = ANY (enumvals), false) FROM pg_settings WHERE name = 'wal_compression')
        AS has_zstd,
    (SELECT sum(CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END)
       FROM pg_database)::bigint AS cluster_bytes
