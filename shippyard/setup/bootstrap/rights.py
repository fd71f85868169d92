"""Owns which privileges should be in a database, and which are there beyond that. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from shippyard.setup.bootstrap.bundles import bundled
from shippyard.setup.bootstrap.found import FoundDatabase, Thing
from shippyard.setup.bootstrap.model import (
    BOOKKEEPING_SCHEMA,
    CANARY_TABLE,
    PUBLIC,
    VERSION_TABLE,
    Drift,
    Grant,
    Step,
)
from shippyard.setup.bootstrap.wanted import Rights, WantedCluster, WantedDatabase

SEQUENCE, ROUTINE = "SEQUENCE", "ROUTINE"
SCHEMA_RIGHTS = ("CREATE", "USAGE")
TABLES = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
UNTOUCHED = frozenset({".".join(VERSION_TABLE)})
"""Tables that revisions alone write: default privileges would open it to the application."""


def wanted_grants(wanted: WantedDatabase, found: FoundDatabase) -> frozenset[Grant]:
    """Every privilege that should be there, on what is there now and on what comes later."""
    return frozenset(
        {
            *(Grant("DATABASE", "", wanted.dbname, role, "CONNECT") for role in wanted.connects),
            *(grant for rights in wanted.rights for grant in _standing(rights, found.things)),
            *(grant for rights in wanted.rights for grant in _coming(rights)),
            *_of_the_owner(wanted, found),
            *_of_the_canary(wanted, found),
        }
    )


def grant_steps(wanted: WantedDatabase, found: FoundDatabase) -> Iterator[Step]:
    """What gives each role its rights, and then takes PUBLIC's: nobody is shut out in between."""
    should, held = wanted_grants(wanted, found), _plain(found.grants)
    for bundle in bundled(should - held):
        yield Step(bundle.told("may not"), bundle.given(wanted.owner), wanted.dbname)
    for bundle in bundled(grant for grant in found.grants if _is_publics(grant, wanted)):
        statement = bundle.taken(wanted.owner)
        yield Step(bundle.told("may"), statement, wanted.dbname, is_excess=True)


def grant_flaws(
    wanted: WantedDatabase, found: FoundDatabase, cluster: WantedCluster
) -> Iterator[Drift]:
    """What roles may do beyond that: only a person can know who would miss it."""
    should, held = wanted_grants(wanted, found), _plain(found.grants)
    ignored = {PUBLIC, wanted.owner, *cluster.others}
    for bundle in bundled(each for each in held - should if each.grantee not in ignored):
        mend = f"{bundle.taken(wanted.owner).as_string()};"
        yield Drift("too much", bundle.told("may"), mend, wanted.dbname)
    passed_on = (each for each in found.grants if each.grantable and each.grantee not in ignored)
    for bundle in bundled(each for each in _plain(passed_on) if each in should):
        mend = f"{bundle.taken(wanted.owner, 'GRANT OPTION FOR ').as_string()};"
        yield Drift("too much", bundle.told("may let others"), mend, wanted.dbname)


def _standing(rights: Rights, things: Iterable[Thing]) -> Iterator[Grant]:
    role = rights.role
    yield from (Grant("SCHEMA", schema, schema, role, "USAGE") for schema in rights.schemas)
    for thing in things:
        if thing.schema not in rights.schemas or thing.name in UNTOUCHED:
            continue
        if thing.kind in TABLES:
            yield from (Grant("TABLE", thing.schema, thing.name, role, p) for p in rights.tables)
        elif thing.kind == SEQUENCE:
            for privilege in rights.sequences:
                yield Grant("SEQUENCE", thing.schema, thing.name, role, privilege)
        elif thing.kind == ROUTINE:
            for privilege in rights.routines:
                yield Grant("ROUTINE", thing.schema, thing.name, role, privilege)


def _coming(rights: Rights) -> Iterator[Grant]:
    by_letter = {"r": rights.tables, "S": rights.sequences, "f": rights.routines}
    for schema in rights.schemas:
        for letter, privileges in by_letter.items():
            yield from (Grant("DEFAULT", schema, letter, rights.role, p) for p in privileges)


def _of_the_owner(wanted: WantedDatabase, found: FoundDatabase) -> Iterator[Grant]:
    """What goes with the schema into a copy or a restore that is another role's database.

    There the owner of the tables would not own `public`, and foreign keys are looked up as them.
    """
    for schema, owner in found.schemas.items():
        if schema in wanted.schemas and owner != wanted.owner:
            yield from (Grant("SCHEMA", schema, schema, wanted.owner, p) for p in SCHEMA_RIGHTS)


def _of_the_canary(wanted: WantedDatabase, found: FoundDatabase) -> Iterator[Grant]:
    name = ".".join(CANARY_TABLE)
    if wanted.canary and any(thing.name == name for thing in found.things):
        yield Grant("SCHEMA", BOOKKEEPING_SCHEMA, BOOKKEEPING_SCHEMA, wanted.canary, "USAGE")
        yield Grant("TABLE", BOOKKEEPING_SCHEMA, name, wanted.canary, "SELECT")
        yield Grant("TABLE", BOOKKEEPING_SCHEMA, name, wanted.canary, "UPDATE")


def _is_publics(grant: Grant, wanted: WantedDatabase) -> bool:
    ours = grant.kind in {"DATABASE", "DEFAULT"} or grant.schema in wanted.managed
    return grant.grantee == PUBLIC and ours


def _plain(grants: Iterable[Grant]) -> frozenset[Grant]:
    return frozenset(replace(grant, grantable=False) for grant in grants)
