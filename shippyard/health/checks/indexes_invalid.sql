-- A concurrent build under way is INVALID too: it is left out while the server shows its progress.
SELECT n.nspname || '.' || c.relname AS relation, n.nspname || '.' || i.relname AS index_name,
       i.relname ~ '_cc(new|old)[0-9]*$' AS of_reindex
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (NOT x.indisvalid OR NOT x.indisready OR NOT x.indislive) AND i.relkind = 'i' AND n.nspname <> 'pg_toast'
  AND NOT EXISTS (
    SELECT 1 FROM pg_stat_progress_create_index p
    WHERE p.index_relid = x.indexrelid OR (p.relid = x.indrelid AND p.index_relid = 0)
  )
ORDER BY 1, 2
LIMIT 100
