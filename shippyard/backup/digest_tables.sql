-- The tables whose rows a dump holds, and how to read the rows of each as text.
-- Left out: partitioned and foreign tables (no rows of their own), views and materialized views (a
-- dump holds their definition), temporary tables, tables of extensions but for what the extension
-- itself marks as the user's, and unlogged ones on a standby, where nobody can read them.
-- Columns go by name: a restore may lay the columns of an inheriting table out in another order.
-- Generated ones are left out: they are made again from the others.
WITH configured AS (
    SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_extension
)
SELECT
    n.nspname AS schema,
    c.relname AS name,
    format('%I.%I', n.nspname, c.relname) AS relation,
    (SELECT format('ROW(%s)', string_agg(format('t.%I', a.attname), ',' ORDER BY a.attname COLLATE "C"))
       FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ) AS all_columns,
    (SELECT nullif(format('ROW(%s)', string_agg(format('t.%I', a.attname), ',' ORDER BY a.attname COLLATE "C")),
                   'ROW()')
       FROM pg_index i
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = c.oid AND i.indisprimary
    ) AS key_columns,
    coalesce((SELECT condition FROM configured WHERE oid = c.oid), '') AS condition
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND c.relpersistence <> 't'
  AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND (c.oid IN (SELECT oid FROM configured)
       OR NOT EXISTS (SELECT FROM pg_depend d
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
ORDER BY n.nspname, c.relname
