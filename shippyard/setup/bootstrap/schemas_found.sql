-- Schemas of a database and whose they are.
SELECT n.nspname AS name, r.rolname AS owner
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
