"""Owns what a server should hold, as the configuration says it. Pure; knows no server.

Each role has the least that it needs, here and nowhere else: docs/access.md tells it to people.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shippyard.config.models import Access, Config, Database, Login
from shippyard.setup.bootstrap.model import BOOKKEEPING_SCHEMA, BootstrapRefused

NAME_MAX_BYTES = 63
WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")

# Autovacuum makes way for whoever has waited this long for its lock. It must be less than the time
# after which a revision gives a lock up, or a table that is being vacuumed can't be changed at all.
MIGRATOR_DEADLOCK_TIMEOUT = "100ms"


@dataclass(frozen=True)
class WantedRole:
    """A role: its attributes, what it is a member of, its settings, and who may be its members.

    `database` is by which a passfile is read. `is_group` says that people may be members.
    """

    name: str
    attributes: frozenset[str] = frozenset()
    member_of: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()
    login: Login | None = None
    database: Database | None = None
    is_group: bool = False


@dataclass(frozen=True)
class Rights:
    """What a role may do in some schemas of a database, today and with what is made later."""

    role: str
    schemas: tuple[str, ...]
    tables: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    routines: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedDatabase:
    """A database: whose it is, who may come in, and what they may do there."""

    dbname: str
    owner: str
    schemas: tuple[str, ...]
    connects: frozenset[str]
    rights: tuple[Rights, ...]
    migrator: str | None = None
    canary: str | None = None

    @property
    def managed(self) -> tuple[str, ...]:
        """Schemas in which everything is the owner's; our bookkeeping is nobody else's business."""
        return (*self.schemas, BOOKKEEPING_SCHEMA)


@dataclass(frozen=True)
class WantedCluster:
    """One server. `first` is a database by which it is reached; `others` are left alone."""

    name: str
    first: Database
    owner: str
    roles: tuple[WantedRole, ...]
    databases: tuple[WantedDatabase, ...]
    others: frozenset[str]

    @property
    def house(self) -> frozenset[str]:
        """Names of the roles that are ours."""
        return frozenset(role.name for role in self.roles)


def wanted_clusters(config: Config) -> tuple[WantedCluster, ...]:
    """What each server of the configuration should hold.

    Raises:
        BootstrapRefused: a role has two tasks that exclude each other, or too long a name.
    """
    names = dict.fromkeys(database.cluster for database in config.databases)
    return tuple(_cluster(config, name) for name in names)


def _cluster(config: Config, name: str) -> WantedCluster:
    databases = [database for database in config.databases if database.cluster == name]
    roles = _merged([*_access_roles(config.access, databases), *_logins(config, name, databases)])
    for role in roles:
        _refuse_long(role.name)
    return WantedCluster(
        name,
        databases[0],
        config.access.owner,
        roles,
        tuple(_database(config, each, roles) for each in databases),
        frozenset(config.access.others),
    )


def _access_roles(access: Access, databases: Sequence[Database]) -> Iterator[WantedRole]:
    first = databases[0]
    yield WantedRole(access.owner, frozenset({"BYPASSRLS"}), frozenset({"pg_read_all_stats"}))
    yield _login(access.app, first)
    yield WantedRole(access.admin, is_group=True)
    yield replace(
        _login(access.analytics, first),
        settings=(
            ("default_transaction_read_only", "on"),
            ("statement_timeout", f"{access.analytics_timeout_s:g}s"),
            ("idle_in_transaction_session_timeout", f"{access.analytics_idle_s:g}s"),
        ),
        is_group=True,
    )
    # Without the second it would not see whom it ends: a page names a session by its start.
    yield replace(
        _login(access.signal, first),
        member_of=frozenset({"pg_signal_backend", "pg_read_all_stats"}),
    )


def _logins(config: Config, cluster: str, databases: Sequence[Database]) -> Iterator[WantedRole]:
    kept = config.backup.clusters.get(cluster)
    for each in databases:
        yield _login(each.monitor, each, member_of="pg_monitor")
        yield _login(each.backup, each, "BYPASSRLS", member_of="pg_read_all_data")
        if each.migrator:
            yield _migrator(config.access, each, each.migrator)
    if kept and kept.replication:
        yield _login(kept.replication, databases[0], "REPLICATION")
    if kept and kept.canary:
        yield _login(kept.canary, databases[0])


def _migrator(access: Access, database: Database, login: Login) -> WantedRole:
    if login.user in {access.owner, access.app.user, access.admin, access.analytics.user}:
        raise BootstrapRefused(
            f"database {database.name!r}: {login.user} can't be the migrator, it has another task; "
            'give it a role of its own: migrator = { user = "shippyar_migrator", ... }'
        )
    more = ("CREATEDB",) if access.restores else ()
    role = _login(login, database, "BYPASSRLS", *more, member_of=access.owner)
    return replace(role, settings=(("deadlock_timeout", MIGRATOR_DEADLOCK_TIMEOUT),))


def _login(login: Login, database: Database, *attributes: str, member_of: str = "") -> WantedRole:
    return WantedRole(
        login.user,
        frozenset({"LOGIN", *attributes}),
        frozenset({member_of} if member_of else ()),
        login=login,
        database=database,
    )


def _merged(roles: Sequence[WantedRole]) -> tuple[WantedRole, ...]:
    """One of each name: several logins may name the same role."""
    merged: dict[str, WantedRole] = {}
    for role in roles:
        first = merged.get(role.name)
        merged[role.name] = _both(first, role) if first else role
    return tuple(merged.values())


def _both(one: WantedRole, other: WantedRole) -> WantedRole:
    source = one if _has_password(one) else other
    return replace(
        one,
        attributes=one.attributes | other.attributes,
        member_of=one.member_of | other.member_of,
        settings=one.settings or other.settings,
        login=source.login,
        database=source.database,
        is_group=one.is_group and other.is_group,
    )


def _has_password(role: WantedRole) -> bool:
    return bool(role.login and (role.login.password_credential or role.login.passfile))


def _database(config: Config, database: Database, roles: Sequence[WantedRole]) -> WantedDatabase:
    access, kept = config.access, config.backup.clusters.get(database.cluster)
    first = next(each for each in config.databases if each.cluster == database.cluster)
    canary = kept.canary if kept and database is first else None
    ours = {database.monitor.user, database.backup.user, access.signal.user, access.admin}
    ours |= {access.app.user, access.analytics.user}
    ours |= {kept.replication.user} if kept and kept.replication else set()
    ours |= {canary.user} if canary else set()
    return WantedDatabase(
        database.dbname,
        access.owner,
        access.schemas,
        frozenset(ours & {role.name for role in roles}),
        tuple(_rights(access, database)),
        database.migrator.user if database.migrator else None,
        canary.user if canary else None,
    )


def _rights(access: Access, database: Database) -> Iterator[Rights]:
    for role in (access.app.user, access.admin):
        yield Rights(role, access.schemas, WRITES, ("USAGE",), ("EXECUTE",))
    yield Rights(access.analytics.user, access.schemas, ("SELECT",))
    # How far sequences have come says nothing of anybody; rows are read where config says so.
    yield Rights(database.monitor.user, access.schemas, sequences=("SELECT",))
    if access.monitor_schemas:
        monitored = access.monitor_schemas
        yield Rights(database.monitor.user, monitored, ("SELECT",), ("SELECT",))


def _refuse_long(name: str) -> None:
    if len(name.encode()) > NAME_MAX_BYTES:
        raise BootstrapRefused(f"role {name!r} is over {NAME_MAX_BYTES} bytes; give a shorter name")
