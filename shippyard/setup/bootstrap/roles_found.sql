-- Every role with its attributes and what is stored of its password; needs a superuser.
SELECT rolname AS name, rolpassword AS verifier, array_remove(ARRAY[
    CASE WHEN rolsuper THEN 'SUPERUSER' END,
    CASE WHEN rolcanlogin THEN 'LOGIN' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
    CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolinherit THEN 'INHERIT' END
], NULL) AS attributes
FROM pg_catalog.pg_authid
WHERE rolname !~ '^pg_'
