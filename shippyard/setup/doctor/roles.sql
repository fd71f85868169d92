-- What the role in whose name we are here may do, beside reading tables.
SELECT
    quote_ident(current_user) AS role,
    quote_ident(current_database()) AS database,
    pg_has_role(current_user, 'pg_monitor', 'USAGE') AS may_monitor,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    r.rolsuper AS is_superuser,
    r.rolbypassrls OR r.rolsuper AS bypasses_rls
FROM pg_roles r
WHERE r.rolname = current_user
