-- The same table, method, columns and their order, operator classes, collations, options, expressions
-- and predicate. Never pg_get_expr(), which opens the relation and waits behind its DDL; the node tree
-- without its places in the text is as good.
SELECT n.nspname || '.' || c.relname AS relation, count(*) AS copies,
       string_agg(i.relname, ', ' ORDER BY x.indisunique DESC, x.indexrelid) AS index_names,
       sum(i.relpages)::float8 * current_setting('block_size')::int AS size_bytes
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND x.indisvalid AND i.relkind = 'i'
GROUP BY 1, x.indrelid, i.relam, x.indkey::text, x.indclass::text, x.indcollation::text, x.indoption::text,
         x.indnkeyatts,
         regexp_replace(coalesce(x.indexprs::text, ''), ':(location|stmt_len) -?[0-9]+', '', 'g'),
         regexp_replace(coalesce(x.indpred::text, ''), ':(location|stmt_len) -?[0-9]+', '', 'g')
HAVING count(*) > 1
ORDER BY size_bytes DESC, 1
LIMIT 50
