-- Prepared transactions of this database that hold a lock which somebody waits for. A row's waiters wait
-- for the transaction's own id; its lock has no pid, and its virtual id ends in that same id.
SELECT DISTINCT p.gid, p.owner, 'ROLLBACK PREPARED ' || quote_literal(p.gid) AS action,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8 AS age_s
FROM pg_prepared_xacts p
JOIN pg_locks held
  ON held.pid IS NULL AND held.granted
  AND split_part(held.virtualtransaction, '/', 2) = p.transaction::text
JOIN pg_locks wanted
  ON NOT wanted.granted AND wanted.locktype = held.locktype
  AND (wanted.database, wanted.relation, wanted.page, wanted.tuple, wanted.transactionid,
       wanted.classid, wanted.objid, wanted.objsubid)
      IS NOT DISTINCT FROM
      (held.database, held.relation, held.page, held.tuple, held.transactionid,
       held.classid, held.objid, held.objsubid)
WHERE p.database = current_database()
ORDER BY age_s DESC
LIMIT 20
