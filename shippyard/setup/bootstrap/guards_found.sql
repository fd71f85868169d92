-- What weakens row level security in the schemas that are ours: a table with policies that don't
-- hold for everyone, and a function that runs as its owner and looks names up where its caller says.
SELECT format('%%I.%%I', n.nspname, c.relname) AS name, 'TABLE' AS kind,
    CASE WHEN c.relrowsecurity THEN 'FORCE' ELSE 'ENABLE' END AS lacks
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%(schemas)s) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid)
UNION ALL
SELECT p.oid::regprocedure::text, 'ROUTINE', 'search_path'
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%(schemas)s) AND p.prosecdef
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS set_ WHERE set_ LIKE 'search\_path=%%')
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend e
        WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
ORDER BY 1
