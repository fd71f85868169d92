"""Owns the difference inside one database: schemas, owners, our own tables, rights. Pure."""

from collections.abc import Iterator

from psycopg import sql

from shippyard.backup.drill.canary import setup_statements
from shippyard.config.models import Database
from shippyard.postgres.target import Target
from shippyard.setup.bootstrap.found import FoundDatabase, Thing, Unguarded
from shippyard.setup.bootstrap.model import (
    CANARY_TABLE,
    VERSION_TABLE,
    Drift,
    Step,
    said,
    trusted,
)
from shippyard.setup.bootstrap.rights import grant_flaws, grant_steps
from shippyard.setup.bootstrap.wanted import WantedCluster, WantedDatabase

SYSTEM_OWNERS = frozenset({"pg_database_owner"})
"""The owner of a fresh `public`: whoever owns the database has its rights."""

# As Alembic makes it. Made here, before default privileges: so it is nobody's but the owner's.
VERSIONS = """CREATE TABLE {} (version_num varchar(32) NOT NULL, \
CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""


def inside_steps(
    wanted: WantedDatabase, found: FoundDatabase, cluster: WantedCluster
) -> Iterator[Step]:
    """What makes a database's inside as it should be."""
    yield from _schemas(wanted, found)
    yield from _owners(wanted, found, cluster.house)
    yield from _version_table(wanted, found)
    yield from _canary(wanted, found, cluster.first)
    yield from grant_steps(wanted, found)


def inside_flaws(
    wanted: WantedDatabase, found: FoundDatabase, cluster: WantedCluster
) -> Iterator[Drift]:
    """What is there beyond that, and where row level security has a hole."""
    house = cluster.house - {wanted.owner}
    for thing in found.things:
        if thing.owner in house and thing.schema not in wanted.managed and not thing.follows:
            mend = f"{_given_to_owner(thing, wanted.owner).as_string()};"
            yield Drift("too much", f"{thing.owner} owns {thing.name}", mend, wanted.dbname)
    for schema, owner in sorted(found.schemas.items()):
        if owner in house and schema not in wanted.managed:
            mend = said("ALTER SCHEMA {} OWNER TO {}", schema, wanted.owner).as_string()
            yield Drift("too much", f"{owner} owns schema {schema}", f"{mend};", wanted.dbname)
    for hole in found.unguarded:
        yield _told(hole, wanted.dbname)
    yield from grant_flaws(wanted, found, cluster)


def _schemas(wanted: WantedDatabase, found: FoundDatabase) -> Iterator[Step]:
    owner = wanted.owner
    for schema in wanted.managed:
        now = found.schemas.get(schema)
        if now is None:
            statement = said("CREATE SCHEMA {} AUTHORIZATION {}", schema, owner)
            yield Step(f"there is no schema {schema}", statement, wanted.dbname)
        elif now != owner and now not in SYSTEM_OWNERS:
            statement = said("ALTER SCHEMA {} OWNER TO {}", schema, owner)
            yield Step(f"schema {schema} is {now}'s, not {owner}'s", statement, wanted.dbname)


def _owners(wanted: WantedDatabase, found: FoundDatabase, house: frozenset[str]) -> Iterator[Step]:
    for thing in found.things:
        is_ours = thing.schema in wanted.managed and not thing.follows
        if is_ours and thing.owner != wanted.owner:
            what = f"{thing.name} is {thing.owner}'s, not {wanted.owner}'s"
            statement = _given_to_owner(thing, wanted.owner)
            yield Step(what, statement, wanted.dbname, is_excess=thing.owner in house)


def _version_table(wanted: WantedDatabase, found: FoundDatabase) -> Iterator[Step]:
    schema, name = VERSION_TABLE
    if wanted.migrator and schema in wanted.schemas and not _has(found, f"{schema}.{name}"):
        what = f"there is no {name}, which nobody but the owner may change"
        table = sql.Identifier(schema, name)
        yield Step(what, sql.SQL(VERSIONS).format(table), wanted.dbname)
        yield Step(what, _to_owner(table, wanted.owner), wanted.dbname)


def _canary(wanted: WantedDatabase, found: FoundDatabase, place: Database) -> Iterator[Step]:
    if wanted.canary and not _has(found, ".".join(CANARY_TABLE)):
        what = f"{wanted.canary} has no row to write"
        target = Target(place.host, place.port, wanted.dbname, wanted.canary)
        made = setup_statements(target).removesuffix(";")
        yield Step(what, sql.Composed([sql.SQL(trusted(made))]), wanted.dbname)
        yield Step(what, _to_owner(sql.Identifier(*CANARY_TABLE), wanted.owner), wanted.dbname)


def _has(found: FoundDatabase, name: str) -> bool:
    return any(thing.name == name for thing in found.things)


def _to_owner(table: sql.Identifier, owner: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, sql.Identifier(owner))


def _given_to_owner(thing: Thing, owner: str) -> sql.Composed:
    head = sql.SQL(trusted(f"ALTER {thing.kind} {thing.name} OWNER TO "))
    return head + sql.Identifier(owner)


def _told(hole: Unguarded, dbname: str) -> Drift:
    if hole.kind == "ROUTINE":
        what = f"{hole.name} runs as its owner and looks names up where its caller says"
        return Drift("missing", what, f"ALTER ROUTINE {hole.name} SET search_path = '';", dbname)
    what = f"{hole.name} has policies that do not hold for everyone"
    mend = f"ALTER TABLE {hole.name} {hole.lacks} ROW LEVEL SECURITY;"
    return Drift("missing", what, mend, dbname)
