-- Where sequences stand that only go up. Of one that goes down or around nothing can be said: a
-- dump reads it a moment later, and a restore may stand on either side.
-- One that was never used gives NULL, and has nothing to lose.
SELECT schemaname AS schema, sequencename AS name, last_value
FROM pg_sequences
WHERE last_value IS NOT NULL AND increment_by > 0 AND NOT cycle
ORDER BY 1, 2
