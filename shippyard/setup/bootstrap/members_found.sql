-- Who is a member of what; several grantors make several rows from PostgreSQL 16 on.
SELECT r.rolname AS role, m.rolname AS member, m.rolsuper AS is_super,
    bool_or(a.admin_option) AS may_admit
FROM pg_catalog.pg_auth_members a
JOIN pg_catalog.pg_roles r ON r.oid = a.roleid
JOIN pg_catalog.pg_roles m ON m.oid = a.member
WHERE m.rolname !~ '^pg_'
GROUP BY r.rolname, m.rolname, m.rolsuper
