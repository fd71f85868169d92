-- One row, whether or not there is a slot. Sizes are in the units of pg_settings: bytes and MB.
SELECT
    pg_current_wal_flush_lsn()::text AS lsn,
    pg_current_snapshot()::text AS snapshot,
    slot.slot_name IS NOT NULL AS slot_exists,
    coalesce(slot.active, false) AS active,
    slot.active_pid,
    slot.restart_lsn::text AS restart_lsn,
    slot.wal_status,
    (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size')::bigint
        AS max_slot_wal_keep_size,
    (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')::bigint AS wal_segment_size,
    -- visible to superusers and pg_read_all_settings (pg_monitor) alone
    (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory
FROM (SELECT) AS one
LEFT JOIN pg_replication_slots AS slot
    ON slot.slot_name = %(slot)s AND slot.slot_type = 'physical'
