-- What is in a database and whose it is, but for what is PostgreSQL's own or an extension's.
-- `follows` says that it is owned by way of a table: a serial column's sequence.
WITH member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e')
SELECT kind, n.nspname AS schema, name, r.rolname AS owner, follows
FROM (
    SELECT CASE c.relkind
            WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
            WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE'
        END AS kind, 'pg_class'::regclass AS catalog, c.oid, c.relnamespace AS namespace,
        c.relowner AS owner, format('%I.%I', n.nspname, c.relname) AS name,
        EXISTS (
            SELECT FROM pg_catalog.pg_depend p
            WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid AND c.relkind = 'S'
                AND p.deptype IN ('a', 'i') AND p.refclassid = 'pg_class'::regclass
        ) AS follows
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'ROUTINE', 'pg_proc'::regclass, oid, pronamespace, proowner,
        oid::regprocedure::text, false
    FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'TYPE', 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner,
        format('%I.%I', n.nspname, t.typname), false
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c'
) AS object
JOIN pg_catalog.pg_namespace n ON n.oid = object.namespace
JOIN pg_catalog.pg_roles r ON r.oid = object.owner
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM member m WHERE m.classid = object.catalog AND m.objid = object.oid
    )
ORDER BY kind, name
