-- Who owns what, and who may do what with it: one line for each object and grantee.
WITH schemas AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'shippyard')
),

objects (kind, name, owner, acl) AS (
    SELECT 'schema', quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM schemas
    UNION ALL
    SELECT
        CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END,
        quote_ident(s.nspname) || '.' || quote_ident(c.relname), c.relowner,
        coalesce(
            c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)
        )
    FROM pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    UNION ALL
    SELECT
        'column',
        quote_ident(s.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname),
        NULL, a.attacl
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid JOIN schemas AS s ON s.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT
        'function',
        quote_ident(s.nspname) || '.' || quote_ident(p.proname) || '('
        || pg_get_function_identity_arguments(p.oid) || ')',
        p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
)

SELECT
    o.kind || ' ' || o.name || ' to '
    || CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS name,
    string_agg(
        g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END, ', '
        ORDER BY g.privilege_type
    ) AS rights
FROM objects AS o CROSS JOIN aclexplode(o.acl) AS g
GROUP BY o.kind, o.name, g.grantee
UNION ALL
SELECT 'owner of ' || o.kind || ' ' || o.name, o.owner::regrole::text
FROM objects AS o WHERE o.owner IS NOT NULL
ORDER BY 1
