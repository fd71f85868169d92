"""Owns attempts to see or change what is somebody else's. Each raises AssertionError if it works.

They are what a forgetful application, one that was broken into, or an analyst could send.
"""

from collections.abc import Callable, Mapping
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from proofs.shippyar.house import ANNA, BO, OLGA, Connection, House

Attempt = Callable[[House], None]

APP, ANALYST = "shippyar_app", "analytics_ro"

OWNED: Mapping[LiteralString, LiteralString] = {
    "users": "id",
    "user_preferences": "user_id",
    "addresses": "user_id",
    "shipments": "sender_id",
}
"""The column that says whose a row is, by table with policies."""

OPEN: Mapping[LiteralString, int] = {"shipments": 2}
"""Rows that everyone of the application sees: what is open, Anna's and Bo's."""

SOMEONE_ELSES: Mapping[LiteralString, LiteralString] = {
    "users": "INSERT INTO users (id, full_name, email_v2) "
    "VALUES ('00000000-0000-4000-8000-0000000000ff', 'Eve', 'eve@example.com')",
    "user_preferences": "INSERT INTO user_preferences (user_id) VALUES ({bo})",
    "addresses": "INSERT INTO addresses (user_id, city_id, label, line1) "
    "VALUES ({bo}, (SELECT id FROM cities LIMIT 1), 'x', 'x')",
    "shipments": "INSERT INTO shipments (reference, sender_id, origin_address_id, "
    "destination_address_id, status, pickup_after, deliver_before, declared_value, currency) "
    "VALUES ('SY-X', {bo}, {bo}, {bo}, 'open', now(), now() + interval '1 day', 1, 'EUR')",
}

BECOMING: tuple[LiteralString, ...] = (
    "SET ROLE shippyar_admin",
    "SET ROLE shippyar_owner",
    "SET ROLE shippyar_migrator",
    "SET SESSION AUTHORIZATION shippyar_owner",
    "GRANT shippyar_admin TO shippyar_app",
    "ALTER ROLE shippyar_app BYPASSRLS",
)

MEDDLING: tuple[LiteralString, ...] = (
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY own_rows ON users",
    "CREATE POLICY mine ON users USING (true)",
    "TRUNCATE users CASCADE",
    "UPDATE alembic_version SET version_num = '001'",
    "SELECT version_num FROM alembic_version",
    "CREATE TABLE public.trap (id int)",
    "CREATE TEMP TABLE users (id int)",
    "CREATE FUNCTION public.leak(text) RETURNS bool LANGUAGE sql AS 'SELECT true'",
    "CREATE TRIGGER spy BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION f()",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM shippyard.canary",
)

# Enough rows that reading them all is what a planner avoids.
MANY: tuple[LiteralString, ...] = (
    """INSERT INTO users (id, full_name, email_v2)
    SELECT md5('p' || n)::uuid, 'P', n || '@example.net' FROM generate_series(1, 20000) AS n""",
    "INSERT INTO user_preferences (user_id) SELECT id FROM users WHERE full_name = 'P'",
    """INSERT INTO addresses (id, user_id, city_id, label, line1)
    SELECT id, id, '00000000-0000-4000-8000-00000000000c', 'home', 'x'
    FROM users WHERE full_name = 'P'""",
    """INSERT INTO shipments (reference, sender_id, origin_address_id, destination_address_id,
        status, pickup_after, deliver_before, declared_value, currency)
    SELECT 'SY-' || id, id, id, id, CASE WHEN id::text < '01' THEN 'open' ELSE 'booked' END,
        now(), now() + interval '1 day', 1, 'EUR'
    FROM users WHERE full_name = 'P'""",
    "ANALYZE users, user_preferences, addresses, shipments",
)

# In a session of its own a role that may make temporary things would try this.
SHADOW: tuple[LiteralString, ...] = (
    "GRANT TEMPORARY ON DATABASE shippyar_dev TO shippyar_app",
    "SET LOCAL ROLE shippyar_app",
    "CREATE TEMP TABLE users (id uuid, email_v2 text, status text)",
    """INSERT INTO pg_temp.users
    VALUES ('00000000-0000-4000-8000-0000000000ee', 'anna@example.com', 'active')""",
    "CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''bo@example.com'''",
    "SET LOCAL search_path = pg_temp, public",
)


def unset(house: House) -> None:
    """A session that never said for whom it works."""
    with house.session(APP) as connection:
        _sees_nobody(connection)


def pooled(house: House) -> None:
    """The next user of a pooled connection, after SET LOCAL: the setting is '' now."""
    with house.session(APP, person=ANNA) as connection:
        assert _count(connection, "users") == 1, "Anna does not see herself"
        connection.commit()
        left = connection.execute("SELECT current_setting('app.user_id', true)").fetchone()
        assert left == ("",), f"app.user_id is {left} after the transaction"
        _sees_nobody(connection)


def not_a_uuid(house: House) -> None:
    """A name, or half of a statement, where an id should be."""
    for person in ("anna", f"{ANNA}' OR true --"):
        with house.session(APP, person=person) as connection:
            _refused(connection, "SELECT FROM users", errors.InvalidTextRepresentation)


def read_others(house: House) -> None:
    """Bo's rows, asked for by their id."""
    with house.session(APP, person=ANNA) as connection:
        for table in OWNED:
            seen = _count(connection, table, whose=BO)
            allowed = 1 if table in OPEN else 0
            assert seen == allowed, f"Anna sees {seen} of Bo's {table}"


def update_others(house: House) -> None:
    """Bo's rows, changed by their id, the open shipment that Anna sees among them."""
    _touches_nothing(house, "UPDATE {table} SET {column} = {column} WHERE {column} = {bo}")


def delete_others(house: House) -> None:
    """Bo's rows, deleted by their id."""
    _touches_nothing(house, "DELETE FROM {table} WHERE {column} = {bo}")


def insert_others(house: House) -> None:
    """New rows in Bo's name, in each table."""
    with house.session(APP, person=ANNA) as connection:
        for statement in SOMEONE_ELSES.values():
            _refused(connection, sql.SQL(statement).format(bo=sql.Literal(BO)))


def give_away(house: House) -> None:
    """Anna's own rows, made Bo's."""
    text = "UPDATE {table} SET {column} = {bo} WHERE {column} = {anna}"
    with house.session(APP, person=ANNA) as connection:
        for table in OWNED:
            _refused(connection, _filled(text, table))


def become_admin(house: House) -> None:
    """The application makes itself somebody else."""
    with house.session(APP, person=ANNA) as connection:
        for statement in BECOMING:
            _refused(connection, statement)


def claim_admin(house: House) -> None:
    """Settings by which other schemas say who is an administrator."""
    with house.session(APP, person=ANNA) as connection:
        for name in ("app.user_role", "app.role", "app.is_admin"):
            connection.execute("SELECT set_config(%s, 'admin', true)", [name])
        assert _count(connection, "users") == 1, "a setting made the application an administrator"


def row_security_off(house: House) -> None:
    """Asking to be shown everything is an error, and no empty answer."""
    with house.session(APP, person=ANNA) as connection:
        connection.execute("SET LOCAL row_security = off")
        for table in OWNED:
            _refused(connection, sql.SQL("SELECT FROM {}").format(sql.Identifier(table)))


def meddle(house: House) -> None:
    """The application changes the rules, or makes something that others would run."""
    with house.session(APP, person=ANNA) as connection:
        for statement in MEDDLING:
            _refused(connection, statement)


def leak_by_error(house: House) -> None:
    """A condition that fails on Bo's row must not come to see it."""
    with house.session(APP, person=ANNA) as connection:
        connection.execute(
            "SELECT FROM users WHERE 1 / (CASE WHEN full_name = 'Bo' THEN 0 ELSE 1 END) > 0"
        )


def copy_out(house: House) -> None:
    """COPY of a whole table gives what SELECT gives."""
    with house.session(APP, person=ANNA) as connection:
        with connection.cursor().copy("COPY users TO STDOUT") as rows:
            text = b"".join(bytes(row) for row in rows).decode()
        assert "Anna" in text, "Anna's own row is not in the copy"
        assert "Bo" not in text, "Bo's row is in the copy"


def owner_under_force(house: House) -> None:
    """The owner without BYPASSRLS sees nothing: FORCE holds for it too."""
    with house.session() as connection:
        connection.execute("ALTER ROLE shippyar_owner NOBYPASSRLS")
        connection.execute("SET LOCAL ROLE shippyar_owner")
        for table in OWNED:
            assert _count(connection, table) == 0, f"the owner sees rows of {table}"
        _refused(connection, "SELECT account_of('anna@example.com')")


def shadow_names(house: House) -> None:
    """account_of() with tables and functions of the caller's put in its way."""
    with house.session() as connection:
        for statement in SHADOW:
            connection.execute(statement)
        found = connection.execute("SELECT public.account_of('ANNA@example.com')::text").fetchone()
        assert found == (ANNA,), f"account_of() was led to {found}"


def sign_in_by_others(house: House) -> None:
    """account_of() is the application's: nobody else may ask who has an account."""
    for role in (ANALYST, "shippyard_monitor", "backup_user"):
        with house.session(role) as connection:
            _refused(connection, "SELECT public.account_of('anna@example.com')")


def analyst_writes(house: House) -> None:
    """An analyst who turns the read-only setting off still may not write, nor be somebody else."""
    with house.session(ANALYST) as connection:
        assert _count(connection, "users") >= len((ANNA, BO)), "analytics does not see everyone"
    with house.session(ANALYST) as connection:
        connection.execute("SET TRANSACTION READ WRITE")
        for text in ("UPDATE users SET full_name = 'x'", "DELETE FROM users", *BECOMING[:3]):
            _refused(connection, text)


def admin_stays_in_bounds(house: House) -> None:
    """The back office sees and changes everyone, and changes no rule."""
    with house.session(OLGA) as connection:
        changed = connection.execute(
            _filled("UPDATE {table} SET {column} = {bo} WHERE {column} = {bo}", "users")
        )
        assert changed.rowcount == 1, "the back office can't change Bo's account"
        for statement in (*MEDDLING[:6], "SET ROLE shippyar_owner"):
            _refused(connection, statement)


def plans_use_indexes(house: House) -> None:
    """With many rows, what a person sees is found by an index and not by looking at everyone's."""
    with house.session() as connection:
        for statement in MANY:
            connection.execute(statement)
        connection.execute("SELECT set_config('app.user_id', %s, true)", [ANNA])
        connection.execute("SET LOCAL ROLE shippyar_app")
        for table in OWNED:
            asked = sql.SQL("EXPLAIN SELECT * FROM {}").format(sql.Identifier(table))
            plan = "\n".join(str(line) for (line,) in connection.execute(asked))
            assert "Seq Scan" not in plan, f"{table}: {plan}"
            assert "Index" in plan, f"{table}: {plan}"


ATTEMPTS: tuple[Attempt, ...] = (
    unset,
    pooled,
    not_a_uuid,
    read_others,
    update_others,
    delete_others,
    insert_others,
    give_away,
    become_admin,
    claim_admin,
    row_security_off,
    meddle,
    leak_by_error,
    copy_out,
    owner_under_force,
    shadow_names,
    sign_in_by_others,
    analyst_writes,
    admin_stays_in_bounds,
    plans_use_indexes,
)


def _sees_nobody(connection: Connection) -> None:
    for table in OWNED:
        seen = _count(connection, table)
        assert seen == OPEN.get(table, 0), f"{seen} rows of {table} are seen for nobody"
        changed = connection.execute(_filled("UPDATE {table} SET {column} = {column}", table))
        assert changed.rowcount == 0, f"{changed.rowcount} rows of {table} changed for nobody"


def _touches_nothing(house: House, text: LiteralString) -> None:
    with house.session(APP, person=ANNA) as connection:
        for table in OWNED:
            changed = connection.execute(_filled(text, table)).rowcount
            assert changed == 0, f"Anna reaches {changed} of Bo's {table}"


def _count(connection: Connection, table: LiteralString, whose: str | None = None) -> int:
    asked = (
        "SELECT count(*) FROM public.{table} WHERE %(whose)s::uuid IS NULL OR {column} = %(whose)s"
    )
    row = connection.execute(_filled(asked, table), {"whose": whose}).fetchone()
    assert row is not None
    return int(row[0])


def _filled(text: LiteralString, table: LiteralString) -> sql.Composed:
    return sql.SQL(text).format(
        table=sql.Identifier(table),
        column=sql.Identifier(OWNED[table]),
        anna=sql.Literal(ANNA),
        bo=sql.Literal(BO),
    )


def _refused(
    connection: Connection,
    statement: LiteralString | sql.Composed,
    kind: type[psycopg.Error] = errors.InsufficientPrivilege,
) -> None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except kind:
        return
    except psycopg.Error as error:
        raise AssertionError(f"{statement}: refused for another reason: {error}") from None
    raise AssertionError(f"{statement}: not refused")
