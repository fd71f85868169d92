"""Roles that are missing are made; what exists, passwords and tablespaces are let be."""

from shippyard.backup.manifest import Environment
from shippyard.backup.restore.globals import (
    in_default_tablespace,
    plan_globals,
    script_of,
    statements_of,
)

SCRIPT = r"""--
-- PostgreSQL database cluster dump
--
\restrict abc
SET default_transaction_read_only = off;
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a''b;c' VALID UNTIL '2030-01-01';
CREATE ROLE "Odd ""one";
ALTER ROLE "Odd ""one" WITH NOLOGIN;
COMMENT ON ROLE app IS 'it''s; -- not a comment';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER LOGIN PASSWORD 'md5x';
ALTER ROLE app SET work_mem TO '8MB';
ALTER ROLE postgres SET work_mem TO '9MB';
GRANT readers TO app WITH INHERIT TRUE GRANTED BY postgres;
GRANT readers TO postgres;
CREATE TABLESPACE fast OWNER app LOCATION '/mnt/fast';
ALTER TABLESPACE fast SET (random_page_cost=1.1);
GRANT ALL ON TABLESPACE fast TO app;
\unrestrict abc
"""


def test_statements_are_told_apart_by_semicolons_that_end_them() -> None:
    found = list(statements_of(SCRIPT))
    assert "COMMENT ON ROLE app IS 'it''s; -- not a comment'" in found
    assert not any("restrict" in statement for statement in found)
    assert len(found) == 15


def test_only_missing_roles_are_made() -> None:
    plan = plan_globals(SCRIPT, {"postgres", "readers"})
    assert plan.made == ("app", 'Odd "one')
    assert not any("postgres SET" in each or "ROLE postgres" in each for each in plan.statements)
    assert "GRANT readers TO app WITH INHERIT TRUE GRANTED BY postgres" in plan.statements
    assert "GRANT readers TO postgres" not in plan.statements
    assert any("roles left as they were: postgres" in note for note in plan.notes)


def test_a_password_is_never_set() -> None:
    plan = plan_globals(SCRIPT, set())
    said = "\n".join(plan.statements)
    assert "PASSWORD" not in said
    assert "SCRAM" not in said
    assert "ALTER ROLE app WITH NOSUPERUSER LOGIN VALID UNTIL '2030-01-01'" in plan.statements


def test_a_tablespace_is_never_made() -> None:
    plan = plan_globals(SCRIPT, set())
    assert not any("TABLESPACE" in statement for statement in plan.statements)
    assert "tablespaces not made: fast" in plan.notes


def test_a_manifest_knows_the_roles_where_the_globals_are_sealed() -> None:
    roles = {
        "app": ("login", "connection limit 3", "valid until 2030-01-01T00:00:00Z"),
        "O'x": ("noinherit", "member of app"),
    }
    assert list(statements_of(script_of(Environment(roles=roles)))) == [
        'CREATE ROLE "app"',
        'CREATE ROLE "O\'x"',
        "ALTER ROLE \"app\" WITH LOGIN CONNECTION LIMIT 3 VALID UNTIL '2030-01-01T00:00:00Z'",
        'ALTER ROLE "O\'x" WITH NOINHERIT',
        'GRANT "app" TO "O\'x"',
    ]


def test_only_tablespaces_that_are_absent_are_taken_out_of_a_script() -> None:
    script = 'SET default_tablespace = fast;\nSET default_tablespace = "my disk";\nSELECT 1;\n'
    mended = "SET default_tablespace = '';"
    assert in_default_tablespace(script, ["my disk"]) == script.replace(
        'SET default_tablespace = "my disk";', mended
    )
    assert in_default_tablespace(script, ["fast", "my disk"]).count(mended) == 2
    assert in_default_tablespace("SET default_tablespace = '';\n", ["fast"]).count(mended) == 1
