"""Owns comparing what was restored with what its manifest says was there: content and surroundings.

Says one line per difference, with the remedy where there is one. Changes nothing.
"""

from collections.abc import Iterator, Mapping

from shippyard.backup.digest import take_again
from shippyard.backup.manifest import Content, Environment, Manifest, TableContent
from shippyard.backup.source import environment_of, source_of
from shippyard.host.clock import Clock
from shippyard.host.secrets import MASK
from shippyard.postgres.session import session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, quoted_text


def compare_content(
    manifest: Manifest, target: Target, clock: Clock, *, timeout_s: float
) -> list[str]:
    """What differs in the data, by table; sequences may stand later. Empty when all is equal.

    Each table is read as it was for the manifest: all of it, the same sample, or counted.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    if manifest.content is None:
        return []
    found = take_again(target, manifest.content, clock, timeout_s=timeout_s)
    return content_differences(manifest.content, found)


def compare_environment(manifest: Manifest, target: Target) -> list[str]:
    """What differs around the data, one line each with the remedy. Empty when all is equal.

    Raises:
        Unreachable, QueryFailed: the server gave no answer.
    """
    with session(target, "restore-compare") as opened:
        revision = source_of(opened).alembic_revision
        found = environment_of(opened)
    wanted = manifest.environment
    differences = list(_revision(manifest.source.alembic_revision, revision))
    if wanted:
        names = manifest.source.dbname or target.dbname, target.dbname
        differences.extend(environment_differences(wanted, found, *names))
    return differences


def content_differences(wanted: Content, found: Content) -> list[str]:
    """What `found` has that `wanted` has not, and the other way round. Pure."""
    here = {(table.schema, table.name): table for table in found.tables}
    there = {(table.schema, table.name): table for table in wanted.tables}
    lines = [line for key, table in there.items() for line in _table(table, here.get(key))]
    # An empty one is no difference: of a standby nobody could read the unlogged tables.
    lines += [
        f"{schema}.{name}: is not in the backup"
        for schema, name in here.keys() - there.keys()
        if here[schema, name].rows
    ]
    stands = {(each.schema, each.name): each.last_value for each in found.sequences}
    for each in wanted.sequences:
        value = stands.get((each.schema, each.name))
        if value is None or value < each.last_value:
            now = "missing" if value is None else f"at {value}"
            lines.append(f"sequence {each.schema}.{each.name}: {now}, was at {each.last_value}")
    return sorted(lines)


def environment_differences(
    wanted: Environment, found: Environment, was: str, now: str
) -> Iterator[str]:
    """What is not as it was; `was` and `now` are the database's names then and now. Pure."""
    yield from _roles(wanted.roles, found.roles)
    yield from _role_settings(wanted.role_settings, found.role_settings, was, now)
    yield from _extensions(wanted, found)
    yield from _libraries(wanted, found)
    yield from _collation(wanted, found, now)


def _table(wanted: TableContent, found: TableContent | None) -> Iterator[str]:
    name = f"{wanted.schema}.{wanted.name}"
    if found is None:
        yield f"{name}: missing, had {wanted.rows} rows"
    elif found.rows != wanted.rows:
        yield f"{name}: {found.rows} rows, had {wanted.rows}"
    elif wanted.digest and found.digest is None:
        yield f"{name}: not read in time, so not compared; give it longer"
    elif wanted.digest != found.digest:
        yield f"{name}: {wanted.rows} rows as before, but their content differs"


def _revision(wanted: str | None, found: str | None) -> Iterator[str]:
    if wanted != found:
        yield f"Alembic revision is {found or 'none'}, was {wanted or 'none'}"


def _roles(
    wanted: Mapping[str, tuple[str, ...]], found: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for role, attributes in wanted.items():
        if role not in found:
            yield f"role {role} is missing; run: CREATE ROLE {quoted_name(role)}"
        elif lost := sorted(set(attributes) - set(found[role])):
            yield f"role {role} lost: {', '.join(lost)}; mend it with ALTER ROLE or GRANT"
        elif more := sorted(set(found[role]) - set(attributes)):
            yield f"role {role} may more than before: {', '.join(more)}"


def _role_settings(
    wanted: Mapping[str, tuple[str, ...]],
    found: Mapping[str, tuple[str, ...]],
    was: str,
    now: str,
) -> Iterator[str]:
    for key, settings in wanted.items():
        database, _, role = key.partition("/")
        if database not in ("", was):
            continue
        here = found.get(f"{now if database else ''}/{role}", ())
        for setting in settings:
            if setting not in here:
                where = f"role {role}" if role else f"database {now}"
                secret = "; its value is secret, set it by hand" if MASK in setting else ""
                yield f"setting of {where} is missing: {setting}{secret}"


def _extensions(wanted: Environment, found: Environment) -> Iterator[str]:
    here = {extension.name: extension.version for extension in found.extensions}
    for extension in wanted.extensions:
        name = quoted_name(extension.name)
        if extension.name not in here:
            yield f"extension {extension.name} is missing; run: CREATE EXTENSION {name}"
        elif here[extension.name] != extension.version:
            version = quoted_text(extension.version)
            yield (
                f"extension {extension.name} is {here[extension.name]}, was {extension.version}; "
                f"run: ALTER EXTENSION {name} UPDATE TO {version}"
            )


def _libraries(wanted: Environment, found: Environment) -> Iterator[str]:
    for library in wanted.preload_libraries:
        if library not in found.preload_libraries:
            yield f"library {library} is not loaded; add it to shared_preload_libraries"


def _collation(wanted: Environment, found: Environment, dbname: str) -> Iterator[str]:
    if wanted.encoding != found.encoding:
        yield f"encoding is {found.encoding}, was {wanted.encoding}"
    if wanted.collation != found.collation:
        yield f"collation is {found.collation}, was {wanted.collation}"
    elif wanted.collation_version != found.collation_version:
        name = quoted_name(dbname)
        yield (
            f"collation version is {found.collation_version}, was {wanted.collation_version}: "
            f"indexes of text may be wrong in files from before; run: REINDEX DATABASE {name}; "
            f"ALTER DATABASE {name} REFRESH COLLATION VERSION"
        )
