-- Databases and whose they are.
SELECT d.datname AS dbname, r.rolname AS owner
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
WHERE NOT d.datistemplate
