"""Owns `schema.sql`: the whole Shippyar schema as one text, made from the revisions.

Made on a scratch cluster, for `shippyard migration schema` and to see whether it is stale. The text
says nothing of who made it: any supported PostgreSQL and its pg_dump give the same.
"""

import re
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from shippyard.host.process import Completed, Processes
from shippyard.postgres.embedded import embedded_cluster
from shippyard.postgres.session import one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools

MIGRATIONS = Path(__file__).parents[2] / "migrations"
ALEMBIC_INI = MIGRATIONS / "alembic.ini"
UPGRADE_TIMEOUT_S = 120.0
DUMP_TIMEOUT_S = 60.0
BOOKKEEPING_SCHEMA = "shippyard"  # how far backfills came, and the canary of drills
POLICY_ROLES = ("shippyar_app", "shippyar_admin", "analytics_ro")
HEADING = """\
-- The whole Shippyar schema at head. Made from the revisions, never by hand:
-- shippyard migration schema
"""

# Session settings, key lines, headings and versions differ between PostgreSQL's versions and runs.
NOISE = re.compile(
    r"SET [a-z_]+ = .*;$|SELECT pg_catalog\.set_config\(.*;$|\\(un)?restrict |--$"
    r"|-- Name: .*; Type: .*; Schema: .*|-- Dumped |-- PostgreSQL database dump"
)


class SchemaFailed(Exception):
    """The schema could not be made; the message has the tool's own words."""


def url_of(target: Target) -> str:
    """A URL for Alembic. Scratch clusters need no password, so it can't hold one."""
    return (
        f"postgresql+psycopg://{target.user}@/{target.dbname}?host={target.host}&port={target.port}"
    )


def make_policy_roles(superuser: Target) -> None:
    """The roles that the schema's policies name, in a scratch cluster; none of them may log in.

    Elsewhere `shippyard bootstrap` makes them. Those that are there stay as they are.

    Raises:
        SchemaFailed: the server refused.
    """
    try:
        with psycopg.connect(**superuser.conninfo(), autocommit=True) as connection:
            rows = connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()
            for role in sorted({*POLICY_ROLES} - {name for (name,) in rows}):
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    except psycopg.Error as error:
        raise SchemaFailed(f"{superuser}: {one_line(error)}") from None


def dump_schema(target: Target, tools: Tools, processes: Processes) -> str:
    """The schema of a database without owners, grants, Alembic's own table, or versions.

    Raises:
        SchemaFailed: pg_dump refused.
    """
    # Into a file: what a program prints is kept only in part.
    with tempfile.NamedTemporaryFile(suffix=".sql") as file:
        done = processes.run(
            [
                tools.path("pg_dump"),
                *target.arguments(),
                "--schema-only",
                "--no-owner",
                "--no-privileges",
                "--exclude-table=alembic_version",
                f"--exclude-schema={BOOKKEEPING_SCHEMA}",
                f"--file={file.name}",
            ],
            timeout_s=DUMP_TIMEOUT_S,
            env=target.environment(),
        )
        if done.returncode:
            raise SchemaFailed(f"pg_dump: {done.reason()}")
        return normalised(Path(file.name).read_text(encoding="utf-8"))


def normalised(dump: str) -> str:
    """A dump's text without what differs from one version or run to the next."""
    kept = (line.rstrip() for line in dump.splitlines() if not NOISE.match(line))
    return re.sub(r"\n{2,}", "\n\n", "\n".join(kept)).strip() + "\n"


def make_schema(processes: Processes, ini: Path = ALEMBIC_INI) -> str:
    """The text of `schema.sql` for the revisions as they are now, built on a scratch cluster.

    Raises:
        SchemaFailed, EmbeddedFailed, ToolsMissing: it can't be made here; says why.
    """
    tools = server_tools(processes)
    with embedded_cluster(tools, processes) as cluster:
        return schema_built_in(cluster.target(), tools, processes, ini)


def schema_built_in(
    empty: Target, tools: Tools, processes: Processes, ini: Path = ALEMBIC_INI
) -> str:
    """Run every revision in an empty database and give the text of `schema.sql`.

    Raises:
        SchemaFailed: Alembic or pg_dump refused.
    """
    make_policy_roles(empty)
    upgrade(empty, processes, ini)
    return HEADING + "\n" + dump_schema(empty, tools, processes)


def upgrade(
    target: Target, processes: Processes, ini: Path = ALEMBIC_INI, revision: str = "head"
) -> None:
    """Plain Alembic up to a revision, in a process of its own: it keeps its context in globals.

    Raises:
        SchemaFailed: Alembic refused.
    """
    done = processes.run(
        [sys.executable, "-m", "alembic", "-c", str(ini), "upgrade", revision],
        timeout_s=UPGRADE_TIMEOUT_S,
        env={"SHIPPYAR_DATABASE_URL": url_of(target)},
    )
    if done.returncode:
        raise SchemaFailed(f"alembic upgrade: {_refusal(done)}")


def _refusal(done: Completed) -> str:
    """Alembic prints what it refuses; on stderr is its log, or a traceback."""
    said = [line for line in done.stdout.splitlines() if line.startswith("FAILED: ")]
    return said[-1].removeprefix("FAILED: ") if said else done.reason()
