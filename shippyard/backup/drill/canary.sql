-- The one row by which a drill measures what was lost. Updated in place: half of its page is free,
-- so that a new version needs no index entry.
CREATE SCHEMA IF NOT EXISTS shippyard;
CREATE TABLE IF NOT EXISTS shippyard.canary (
    id integer PRIMARY KEY CHECK (id = 1),
    at timestamptz NOT NULL,
    lsn pg_lsn NOT NULL,
    beat bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO shippyard.canary VALUES (1, '-infinity', '0/0', 0) ON CONFLICT DO NOTHING
