-- Sequences that only go up, and the column that each one fills.
SELECT
    quote_ident(s.schemaname) || '.' || quote_ident(s.sequencename) AS name,
    s.last_value AS last,
    quote_ident(n.nspname) || '.' || quote_ident(t.relname) AS "table",
    quote_ident(a.attname) AS "column",
    EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = t.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL
    ) AS quick
FROM pg_sequences AS s
JOIN pg_class AS c ON c.relname = s.sequencename AND c.relnamespace = to_regnamespace(quote_ident(s.schemaname))
LEFT JOIN pg_depend AS d
    ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refobjsubid > 0
LEFT JOIN pg_class AS t ON t.oid = d.refobjid
LEFT JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE s.increment_by > 0 AND NOT s.cycle
ORDER BY 1
