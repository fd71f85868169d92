"""Owns the rows about access: the documented rights, bootstrap that converges, tables to come."""

import contextlib
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from proofs.backup.shelf import MATRIX_BIN, servers
from proofs.shippyar.hostile import ATTEMPTS, Attempt
from proofs.shippyar.house import House, empty_house, furnished_house
from proofs.shippyar.matrix import differences, tried
from proofs.table import Context, CouldNotRun, Outcome, Row
from shippyard.host.process import Processes
from shippyard.postgres.tools import Tools
from shippyard.setup.bootstrap.applying import plans
from shippyard.setup.schema import MIGRATIONS

MAJORS = (15, 17, 18)
DUMP_TIMEOUT_S = 60.0

# Each gives a role of ours more than it needs, and is to be told with the words beside it.
TOO_MUCH: Mapping[str, str] = {
    "ALTER ROLE shippyar_app CREATEROLE": "shippyar_app has CREATEROLE",
    "ALTER ROLE shippyar_owner LOGIN": "shippyar_owner has LOGIN",
    "GRANT shippyar_owner TO shippyar_app": "shippyar_app is a member of shippyar_owner",
    "GRANT pg_read_all_data TO shippyard_monitor": "shippyard_monitor is a member of pg_read",
    "GRANT CREATE ON SCHEMA public TO shippyar_app": "shippyar_app may CREATE on schema public",
    "GRANT CREATE ON DATABASE shippyar_dev TO shippyar_app": "may CREATE on database shippyar_dev",
    "GRANT TRUNCATE ON users TO shippyar_app": "shippyar_app may TRUNCATE on table public.users",
    "GRANT UPDATE (status) ON users TO analytics_ro": "analytics_ro may UPDATE (status) on column",
    "GRANT UPDATE ON alembic_version TO shippyar_app": "may UPDATE on table public.alembic_version",
    "GRANT SELECT ON users TO PUBLIC": "PUBLIC may SELECT on table public.users",
    "GRANT SELECT ON users TO analytics_ro WITH GRANT OPTION": "analytics_ro may let others SELECT",
    "ALTER TABLE reviews OWNER TO shippyar_app": "public.reviews is shippyar_app's",
    "ALTER TABLE users NO FORCE ROW LEVEL SECURITY": "public.users has policies that do not hold",
    "ALTER ROLE shippyar_app SET app.user_id = 'x'": "shippyar_app has app.user_id = x set",
    "ALTER FUNCTION account_of RESET search_path": "account_of(text) runs as its owner",
    "CREATE ROLE stranger; GRANT SELECT ON users TO stranger": "stranger may SELECT on table",
}

# Everything that bootstrap sets, without what a login itself changes.
CATALOGS = """
    SELECT json_build_object(
        'roles', (SELECT json_agg(a ORDER BY rolname) FROM pg_authid a),
        'members', (SELECT json_agg(m ORDER BY roleid, member) FROM pg_auth_members m),
        'settings', (SELECT json_agg(s ORDER BY setdatabase, setrole) FROM pg_db_role_setting s),
        'databases', (SELECT json_agg((datname, datdba, datacl::text) ORDER BY datname)
            FROM pg_database),
        'schemas', (SELECT json_agg((nspname, nspowner, nspacl::text) ORDER BY nspname)
            FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'),
        'relations', (SELECT json_agg((oid, relname, relowner, relacl::text) ORDER BY oid)
            FROM pg_class),
        'routines', (SELECT json_agg((oid, proname, proowner, proacl::text) ORDER BY oid)
            FROM pg_proc),
        'defaults', (SELECT json_agg(d ORDER BY oid) FROM pg_default_acl d))
"""

# A revision of tomorrow, as an author writes one: it knows nothing of roles.
TOMORROW = '''
    """A table of tomorrow."""

    import sqlalchemy as sa
    from alembic import op

    revision = "900"
    down_revision = "{head}"
    branch_labels = None
    depends_on = None


    def upgrade() -> None:
        op.create_table("tomorrow", sa.Column("id", sa.Integer(), primary_key=True))
        op.execute("INSERT INTO tomorrow VALUES (41), (42)")


    def downgrade() -> None:
        op.drop_table("tomorrow")
'''


def roles(context: Context) -> Outcome:
    """The documented table of rights, command by command, and attempts to get round policies."""
    said, problems = [], []
    for major, tools in _servers(context).items():
        with furnished_house(tools) as house:
            wrong = [*differences(house), *(_failed(house, attempt) for attempt in ATTEMPTS)]
            combinations = len(tried(house))
        found = [f"{major}: {each}" for each in wrong if each]
        said.append(f"{major}: {combinations} of role and table, {len(ATTEMPTS)} attempts")
        problems += found
    return _outcome(said, problems, "equal, and none got by")


def bootstrap(context: Context) -> Outcome:
    """Twice is once; and what is too much is told, each with a statement that mends it."""
    said, problems = [], []
    for major, tools in _servers(context).items():
        with empty_house(tools) as house:
            text, wrong = _converged(house)
        said.append(f"{major}: {text}")
        problems += [f"{major}: {each}" for each in wrong]
    return _outcome(said, problems, "catalogs equal")


def new_table(context: Context) -> Outcome:
    """A later revision's table: read by analytics, written by the application, in the dump."""
    said, problems = [], []
    for major, tools in _servers(context).items():
        with furnished_house(tools) as house:
            house.migrate(_tree_with_tomorrow(context.folder / str(major)))
            problems += [f"{major}: {each}" for each in _tomorrow(house, context.folder)]
        said.append(str(major))
    return _outcome(said, problems, "read, written, and in the dump with its rows")


def _outcome(said: list[str], problems: list[str], well: str) -> Outcome:
    measured = f"{'; '.join(said)}; {f'{len(problems)} wrong' if problems else well}"
    return Outcome(measured, ok=not problems, note="; ".join(problems))


def _servers(context: Context) -> dict[int, Tools]:
    """Every major; the newest alone for a quick look."""
    wanted, found = MAJORS[-1:] if context.quick else MAJORS, servers(Processes())
    missing = [major for major in wanted if major not in found]
    if missing:
        raise CouldNotRun(
            f"no PostgreSQL {missing[0]} server here ({MATRIX_BIN.parent}); "
            "`make matrix` brings what pip has"
        )
    return {major: found[major] for major in wanted}


def _failed(house: House, attempt: Attempt) -> str:
    try:
        attempt(house)
    except AssertionError as error:
        return f"{attempt.__name__}: {error}"
    return ""


def _converged(house: House) -> tuple[str, list[str]]:
    first = len(house.bootstrap().steps)
    house.migrate()
    before = _catalogs(house)
    again = house.bootstrap()
    problems = [f"a second time: {step.shown}" for step in again.steps]
    problems += [f"after head: {flaw.what}" for flaw in again.flaws]
    if _catalogs(house) != before:
        problems.append("the catalogs changed the second time")
    told = 0
    for statement, words in TOO_MUCH.items():
        with _as_before(house, statement):
            wrong = _untold(house, words)
        told += not wrong
        problems += wrong
    (left,) = plans(house.config, "postgres")
    problems += [f"left after mending: {each.what}" for each in left.drift]
    text = f"{first} statements, then 0; {told} of {len(TOO_MUCH)} excesses told and mended"
    return text, problems


@contextlib.contextmanager
def _as_before(house: House, statement: str) -> Iterator[None]:
    """One excess, mended afterwards by the very statements that are told."""
    house.run(*statement.split("; "))
    yield
    (plan,) = plans(house.config, "postgres")
    house.run(*(each.mend for each in plan.drift))


def _untold(house: House, words: str) -> list[str]:
    (plan,) = plans(house.config, "postgres")
    told = [each.what for each in plan.drift]
    return [] if any(words in each for each in told) else [f"not told: {words} (told: {told})"]


def _catalogs(house: House) -> str:
    with house.session() as connection:
        row = connection.execute(CATALOGS.encode()).fetchone()
    return json.dumps(row)


def _tree_with_tomorrow(folder: Path) -> Path:
    tree = shutil.copytree(MIGRATIONS, folder / "migrations")
    head = max(path.name[:3] for path in (tree / "versions").glob("[0-9]*.py"))
    text = textwrap.dedent(TOMORROW.format(head=head)).lstrip()
    (tree / "versions" / "900_a_table_of_tomorrow.py").write_text(text)
    return tree


def _tomorrow(house: House, folder: Path) -> Iterator[str]:
    with house.session("analytics_ro") as connection:
        if connection.execute("SELECT sum(id) FROM tomorrow").fetchone() != (83,):
            yield "analytics_ro does not read it"
    with house.session("shippyar_app") as connection:
        connection.execute("INSERT INTO tomorrow VALUES (43)")
    if "41\n42\n" not in _dumped(house, folder / f"{house.tools.major}.sql"):
        yield "it is not in the dump of backup_user"
    (plan,) = plans(house.config, "postgres")
    yield from (f"drift: {each.what}" for each in plan.drift)


def _dumped(house: House, file: Path) -> str:
    target = house.target("backup_user")
    program = house.tools.path("pg_dump")
    done = house.processes.run(
        [program, *target.arguments(), "--table=tomorrow", "--data-only", f"--file={file}"],
        timeout_s=DUMP_TIMEOUT_S,
        env=target.environment(),
    )
    return file.read_text() if done.returncode == 0 else done.reason()


ROWS = (
    Row(
        "roles",
        "Every role may do on every table what docs/access.md says, and gets round no policy",
        "equal on PostgreSQL 15, 17 and 18; no hostile attempt works",
        roles,
    ),
    Row(
        "bootstrap",
        "`bootstrap --apply` twice changes nothing the second time; too much is told",
        "0 statements, catalogs equal; each excess told with what mends it",
        bootstrap,
    ),
    Row(
        "new-table",
        "A table of a later revision is readable by analytics_ro and in the backup",
        "read, and its rows in a dump taken as backup_user",
        new_table,
    ),
)
