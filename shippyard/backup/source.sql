-- What the manifest says of the server and database, asked just before the dump's snapshot.
-- Works for a role that may only connect; what it can't see is NULL.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    current_setting('server_version') AS server_version,
    current_database() AS dbname,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text
        AS lsn_at_start,
    (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
    (SELECT count(*)
       FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p')
        AND n.nspname !~ '^pg_'
        AND n.nspname <> 'information_schema') AS table_count,
    (SELECT format('%I.%I', n.nspname, c.relname)
       FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relname = 'alembic_version'
        AND c.relkind = 'r'
        AND has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(c.oid, 'SELECT')
      ORDER BY n.nspname <> 'public', n.nspname
      LIMIT 1) AS version_table
