-- What the server does with its WAL, and the slot that keeps it for us.
SELECT
    current_setting('wal_level') AS wal_level,
    current_setting('max_wal_senders')::int AS max_wal_senders,
    current_setting('max_slot_wal_keep_size') AS max_slot_wal_keep_size,
    current_setting('archive_mode') AS archive_mode,
    current_setting('archive_command') AS archive_command,
    current_setting('archive_timeout') AS archive_timeout,
    current_setting('summarize_wal', true) AS summarize_wal,
    s.slot_name IS NOT NULL AS slot_exists,
    coalesce(s.active, false) AS slot_active,
    s.wal_status AS slot_status
FROM (SELECT) nothing
LEFT JOIN pg_replication_slots s ON s.slot_name = %(slot)s
