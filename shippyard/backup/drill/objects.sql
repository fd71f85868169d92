-- How many objects of each sort a database has. Tables are counted as for the manifest.
WITH own AS (
    SELECT n.oid FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)
SELECT count(*) FILTER (WHERE c.relkind IN ('r', 'p')) AS tables,
       count(*) FILTER (WHERE c.relkind IN ('i', 'I')) AS indexes,
       count(*) FILTER (WHERE c.relkind IN ('v', 'm')) AS views,
       count(*) FILTER (WHERE c.relkind = 'S') AS sequences,
       (SELECT count(*) FROM pg_proc p WHERE p.pronamespace IN (SELECT oid FROM own)) AS functions,
       (SELECT count(*) FROM pg_constraint k WHERE k.connamespace IN (SELECT oid FROM own))
           AS constraints,
       (SELECT count(*) FROM pg_trigger t WHERE NOT t.tgisinternal) AS triggers
FROM pg_class c
WHERE c.relnamespace IN (SELECT oid FROM own)
