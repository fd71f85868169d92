-- Prepared transactions of this database that hold a lock which somebody waits for. Their locks have no
-- pid; the lock on the transaction's own id tells under which virtual id it holds the others.
SELECT DISTINCT p.gid, p.owner, 'ROLLBACK PREPARED ' || quote_literal(p.gid) AS action,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8 AS age_s
FROM pg_prepared_xacts p
JOIN pg_locks own
  ON own.pid IS NULL AND own.granted AND own.transactionid = p.transaction
JOIN pg_locks held
  ON held.pid IS NULL AND held.granted AND held.virtualtransaction = own.virtualtransaction
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
