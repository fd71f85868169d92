-- The tables that hold rows, how to find a row of each again, and what was ever done to them.
-- The key is the primary one, else a unique index over whole columns that are never null.
SELECT
    c.oid::int8 AS oid,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
    pg_relation_filenode(c.oid)::int8 AS file,
    greatest(c.reltuples, 0)::int8 AS estimate,
    pg_relation_size(c.oid) / current_setting('block_size')::int8 AS pages,
    pg_stat_get_tuples_updated(c.oid) AS updated,
    pg_stat_get_tuples_deleted(c.oid) AS deleted,
    coalesce((
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM (
            SELECT indkey FROM pg_index AS i
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
                    SELECT FROM pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull
                )
            ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1
        ) AS i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
    ), '{}') AS key,
    coalesce((
        SELECT jsonb_object_agg(a.attname, jsonb_build_array(
            a.attnum, format_type(a.atttypid, a.atttypmod)))
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ), '{}') AS columns
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.relname <> 'alembic_version'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'shippyard')
ORDER BY 2
