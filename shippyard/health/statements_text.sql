-- The texts of a few statements, asked only when a person wants to read them (decision 22): (true) reads
-- the file of all texts. A statement of several users has one text for each; one of them is enough.
SELECT dbid, queryid, left(min(query), 4096) AS query
FROM {extension_schema}.pg_stat_statements(true)
WHERE queryid = ANY(%(queryids)s)
GROUP BY 1, 2
LIMIT 500
