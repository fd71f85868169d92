-- Every privilege in a database that is not its holder's by owning the thing: of our own roles
-- wherever it is, of everyone else in the schemas that are ours. What nobody ever granted or
-- revoked stands as PostgreSQL's default, so that PUBLIC's rights are seen. An extension's own
-- things are left to it.
WITH thing AS (
    SELECT 'DATABASE' AS kind, '' AS schema, datname AS thing, '' AS col,
        coalesce(datacl, acldefault('d', datdba)) AS acl, datdba AS owner, true AS ours
    FROM pg_catalog.pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'SCHEMA', nspname, nspname, '',
        coalesce(nspacl, acldefault('n', nspowner)), nspowner, nspname = ANY (%(schemas)s)
    FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname,
        format('%%I.%%I', n.nspname, c.relname), '',
        coalesce(c.relacl, acldefault(
            (CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner)),
        c.relowner, n.nspname = ANY (%(schemas)s)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend p
        WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid AND p.deptype = 'e')
    UNION ALL
    SELECT 'COLUMN', n.nspname, format('%%I.%%I', n.nspname, c.relname), a.attname, a.attacl,
        c.relowner, n.nspname = ANY (%(schemas)s)
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT 'ROUTINE', n.nspname, p.oid::regprocedure::text, '',
        coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner, n.nspname = ANY (%(schemas)s)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend e
        WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
    UNION ALL
    SELECT 'DEFAULT', coalesce(n.nspname, ''), d.defaclobjtype::text, '', d.defaclacl, d.defaclrole, true
    FROM pg_catalog.pg_default_acl d
    JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole AND r.rolname = %(owner)s
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
    WHERE d.defaclobjtype IN ('r', 'S', 'f')
    UNION ALL
    -- A database without a word on it lets everyone run what is made there.
    SELECT 'DEFAULT', '', 'f', '', acldefault('f', 10), 10, true
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_default_acl d
        JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole AND r.rolname = %(owner)s
        WHERE d.defaclnamespace = 0 AND d.defaclobjtype = 'f')
)
SELECT kind, schema, thing, col AS column, coalesce(r.rolname, 'PUBLIC') AS grantee,
    privilege_type AS privilege, is_grantable AS grantable
FROM thing CROSS JOIN aclexplode(thing.acl) AS held
LEFT JOIN pg_catalog.pg_roles r ON r.oid = held.grantee
WHERE held.grantee <> thing.owner AND (thing.ours OR r.rolname = ANY (%(house)s))
