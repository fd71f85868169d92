-- Our own look takes locks too; they are left out.
SELECT locktype, mode, CASE WHEN granted THEN 'held' ELSE 'waiting' END AS state, count(*) AS n
FROM pg_locks
WHERE pid IS DISTINCT FROM pg_backend_pid()
GROUP BY 1, 2, 3
ORDER BY n DESC, 1, 2, 3
LIMIT 200
