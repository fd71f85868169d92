-- What is around the data: one row, each column a JSON value or a text. Values that may hold a
-- secret are left out; what the role may not see is missing. to_jsonb(d) is asked for columns that
-- a major has and another has not.
SELECT
    (SELECT coalesce(jsonb_object_agg(r.rolname, to_jsonb(array_remove(ARRAY[
                CASE WHEN r.rolsuper THEN 'superuser' END,
                CASE WHEN r.rolcreaterole THEN 'createrole' END,
                CASE WHEN r.rolcreatedb THEN 'createdb' END,
                CASE WHEN r.rolcanlogin THEN 'login' END,
                CASE WHEN r.rolreplication THEN 'replication' END,
                CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
                CASE WHEN NOT r.rolinherit THEN 'noinherit' END,
                CASE WHEN r.rolconnlimit >= 0 THEN 'connection limit ' || r.rolconnlimit END,
                CASE WHEN r.rolvaliduntil IS NOT NULL
                     THEN 'valid until ' || to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END
            ], NULL) || ARRAY(
                SELECT DISTINCT 'member of ' || g.rolname
                  FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                 WHERE m.member = r.oid
                 ORDER BY 1))), '{}')
       FROM pg_roles r
      WHERE r.rolname !~ '^pg_') AS roles,
    (SELECT coalesce(jsonb_object_agg(
                coalesce(d.datname, '') || '/' || coalesce(r.rolname, ''), to_jsonb(s.setconfig)), '{}')
       FROM pg_db_role_setting s
       LEFT JOIN pg_database d ON d.oid = s.setdatabase
       LEFT JOIN pg_roles r ON r.oid = s.setrole) AS role_settings,
    (SELECT coalesce(jsonb_object_agg(name, current_setting(name)), '{}')
       FROM pg_settings
      WHERE source IN ('configuration file', 'command line', 'environment variable')
        AND reset_val IS DISTINCT FROM boot_val
        AND name !~ '(conninfo|_command$|passphrase|password|secret|token|_directory$|_directories$)'
    ) AS settings,
    (SELECT coalesce(jsonb_object_agg(spcname, pg_tablespace_location(oid)), '{}')
       FROM pg_tablespace
      WHERE spcname !~ '^pg_') AS tablespaces,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('name', extname, 'version', extversion)
                               ORDER BY extname), '[]')
       FROM pg_extension) AS extensions,
    (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries') AS preload_libraries,
    pg_encoding_to_char(d.encoding) AS encoding,
    d.datcollate AS collation,
    to_jsonb(d) ->> 'datcollversion' AS collation_version
FROM pg_database d
WHERE d.datname = current_database()
