-- Relations of a database's own: tables, indexes and views by number, and how often they were read.
-- `oids` limits it to some; none means all.
SELECT
    c.oid::bigint AS oid,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
    c.relkind::text AS kind,
    i.indrelid::bigint AS table_oid,
    array(SELECT h.inhparent::bigint FROM pg_inherits AS h WHERE h.inhrelid = c.oid) AS parents,
    c.relfilenode::bigint AS file,
    c.relpages::bigint AS pages,
    c.reltuples::float8 AS rows,
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_stat_get_numscans(c.oid) ELSE 0 END AS scans,
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_stat_get_tuples_returned(c.oid) ELSE 0 END AS rows_read
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'f', 'm', 'v', 'i', 'I')
AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'shippyard_recording')
AND (%(oids)s::bigint [] IS NULL OR c.oid = ANY (%(oids)s::bigint []))
