-- What the role in whose name we are here may not do, as far as a dump of this database asks for it.
-- Names are quoted by the server, so that they can stand in a statement.
WITH tables AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S')
       AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_'
       AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), large_objects AS (
    SELECT count(*) AS unreadable
      FROM pg_largeobject_metadata l
     WHERE NOT pg_has_role(l.lomowner, 'USAGE')
       AND current_setting('lo_compat_privileges') = 'off'
       AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
                        WHERE a.privilege_type = 'SELECT'
                          AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
)
SELECT
    quote_ident(current_user) AS role,
    quote_ident(current_database()) AS database,
    r.rolsuper AS is_superuser,
    r.rolreplication OR r.rolsuper AS may_replicate,
    ARRAY(SELECT name FROM tables WHERE NOT readable AND relkind <> 'S' ORDER BY name) AS tables,
    ARRAY(SELECT name FROM tables WHERE NOT readable AND relkind = 'S' ORDER BY name) AS sequences,
    ARRAY(SELECT name FROM tables WHERE relkind <> 'S' AND row_security_active(oid) ORDER BY name)
        AS filtered_tables,
    CASE WHEN r.rolsuper THEN 0 ELSE (SELECT unreadable FROM large_objects) END AS large_objects,
    has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may_read_passwords
FROM pg_roles r
WHERE r.rolname = current_user
