"""Owns seeing where models, revisions, `schema.sql` and a database do not say the same.

All are built on a scratch cluster and compared object by object, because autogenerate sees neither
checks nor the predicate of an index nor half of what else a schema has. A real database is only
read. Runs the tree's env.py, which is its author's code: for the command line, not for the daemon.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import MetaData, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from shippyard.host.process import Processes
from shippyard.migration.plan import HEAD, read_revisions, resolve_target
from shippyard.migration.version_table import read_current
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.schema_objects import differences, read_objects
from shippyard.postgres.session import QueryFailed, one_line, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, server_tools
from shippyard.setup.schema import SchemaFailed, schema_built_in, upgrade, url_of
from shippyard.setup.sources import Sources

MODELS = "models"
REVISIONS = "revisions"

# What models have words for. Policies, functions and triggers stand in revisions only.
IN_MODELS = ("table ", "column ", "constraint ", "index ", "sequence ", "enum ")
ROW_SECURITY = (" FORCED", "ROW LEVEL SECURITY")
COMMENT = "COMMENT '"

# How long reading a catalog may take; a database of a million tables is none of ours.
READ_TIMEOUT_S = 30.0

Objects = Mapping[str, str]


@dataclass(frozen=True)
class Drift:
    """What differs from `before` to `after`: models, revisions, a file or a database each."""

    before: str
    after: str
    difference: str


@dataclass(frozen=True)
class Live:
    """A database that is used, by its name in the configuration, and how it is reached."""

    name: str
    target: Target


def find_drift(
    sources: Sources, live: Live | None, processes: Processes
) -> tuple[tuple[Drift, ...], str]:
    """All drift, and the head it was seen at. A live database is read, never written.

    Raises:
        PlanRefused: the tree has no single head, or nobody can say where the database stands.
        SchemaFailed, EmbeddedFailed, ToolsMissing: revisions or models can't be built here.
        Unreachable, QueryFailed: the database does not answer.
    """
    head = resolve_target(read_revisions(sources.tree), HEAD)
    tools = server_tools(processes)
    with embedded_cluster(tools, processes) as cluster:
        bench = _Bench(sources, cluster, tools, processes)
        found = [*bench.drift_of_file(), *bench.drift_of_models()]
        if live:
            found += bench.drift_of_database(live, head)
    return tuple(found), head


class _Bench:
    """A scratch cluster; its first database gets every revision, as the first thing asked."""

    def __init__(
        self, sources: Sources, cluster: EmbeddedCluster, tools: Tools, processes: Processes
    ) -> None:
        self._sources, self._processes = sources, processes
        self._admin = cluster.target()
        self._text = schema_built_in(self._admin, tools, processes, sources.ini)
        self._at_head = objects_of(self._admin)

    def drift_of_file(self) -> Iterator[Drift]:
        """`schema.sql` beside the revisions."""
        file = self._sources.schema_file
        try:
            kept = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            kept = ""
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaFailed(f"{file}: can't be read: {error}") from None
        if kept != self._text:
            line = first_difference(kept, self._text)
            said = f"{file}:{line}: stale; run: shippyard migration schema"
            yield Drift(REVISIONS, file.name, said)

    def drift_of_models(self) -> list[Drift]:
        """Object by object; what only autogenerate sees is told as autogenerate tells it."""
        metadata, operations = _models_seen_from(self._sources.ini, self._admin)
        database = self._database("models")
        _build(metadata, database)
        found = drift_between(
            MODELS, of_models(objects_of(database)), REVISIONS, of_models(self._at_head)
        )
        if found or not operations:
            return found
        return [Drift(MODELS, REVISIONS, f"autogenerate: {said}") for said in operations]

    def drift_of_database(self, live: Live, head: str) -> Iterator[Drift]:
        """A database beside the revisions that it has; and that it lacks some."""
        with session(live.target, "migration-check") as opened:
            current = read_current(opened.query)
            objects = read_objects(lambda asked: opened.query(asked, timeout_s=READ_TIMEOUT_S))
        if current != head:
            yield Drift(REVISIONS, live.name, f"it is at {current or 'none'}, and head is {head}")
        yield from drift_between(REVISIONS, self._objects_at(current, head), live.name, objects)

    def _objects_at(self, revision: str | None, head: str) -> Objects:
        if revision == head:
            return self._at_head
        database = self._database("as_live")
        if revision is not None:
            resolve_target(read_revisions(self._sources.tree), revision)
            upgrade(database, self._processes, self._sources.ini, revision)
        return objects_of(database)

    def _database(self, name: str) -> Target:
        with psycopg.connect(**self._admin.conninfo(), autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
            connection.execute(create.format(sql.Identifier(name)))
        return replace(self._admin, dbname=name)


def objects_of(target: Target) -> dict[str, str]:
    """Every object of a scratch database.

    Raises:
        SchemaFailed: it can't be read.
    """
    try:
        with session(target, "migration-check") as opened:
            return read_objects(lambda asked: opened.query(asked, timeout_s=READ_TIMEOUT_S))
    except QueryFailed as error:
        raise SchemaFailed(f"{target}: {error}") from None


def drift_between(before: str, old: Objects, after: str, new: Objects) -> list[Drift]:
    """Differences by name. Extensions that only the second has are not the schema's business."""
    return [
        Drift(before, after, str(each))
        for each in differences(old, new)
        if each.before is not None or not each.name.startswith("extension ")
    ]


def of_models(objects: Objects) -> dict[str, str]:
    """Objects that models have words for, and of a table what they have words for."""
    return {
        name: _without_row_security(text) if name.startswith("table ") else text
        for name, text in objects.items()
        if name.startswith(IN_MODELS)
    }


def first_difference(kept: str, made: str) -> int:
    """The number of the first line that is not the same, from 1."""
    pairs = zip(kept.splitlines(), made.splitlines(), strict=False)
    same = 0
    for one, other in pairs:
        if one != other:
            break
        same += 1
    return same + 1


def _without_row_security(table: str) -> str:
    words, comment, rest = table.partition(COMMENT)
    for flag in ROW_SECURITY:
        words = words.replace(flag, "")
    return f"{words.strip()} {comment}{rest}".strip()


def _models_seen_from(ini: Path, at_head: Target) -> tuple[MetaData, list[str]]:
    """The metadata that env.py gives to autogenerate, and what autogenerate would write."""
    seen: list[tuple[MetaData, list[str]]] = []

    def look(_: Any, context: MigrationContext) -> list[Any]:
        metadata = context.opts["target_metadata"]
        diffs = compare_metadata(context, metadata)
        seen.append((metadata, [said_by_autogenerate(diff) for diff in diffs]))
        return []

    _run_env(ini, at_head, look)
    if not seen:
        raise SchemaFailed(f"{ini}: env.py must use config.attributes['connection']")
    return seen[0]


def _run_env(ini: Path, target: Target, look: Callable[[Any, MigrationContext], list[Any]]) -> None:
    """env.py with nothing to run but `look`, on a connection of ours."""
    config = Config(ini)
    script = ScriptDirectory.from_config(config)
    try:
        with create_engine(url_of(target), poolclass=NullPool).connect() as connection:
            config.attributes["connection"] = connection
            with EnvironmentContext(config, script, fn=look, dont_mutate=True):
                script.run_env()
    except Exception as error:
        raise SchemaFailed(f"{ini}: {one_line(error)}") from error


def said_by_autogenerate(diff: Any) -> str:
    """One of autogenerate's findings in a few words: `add_column users stray`."""
    parts = diff[0] if isinstance(diff, list) else diff
    named = (part if isinstance(part, str) else getattr(part, "name", None) for part in parts)
    return " ".join(str(name) for name in named if name)


def _build(metadata: MetaData, empty: Target) -> None:
    try:
        metadata.create_all(create_engine(url_of(empty), poolclass=NullPool))
    except SQLAlchemyError as error:
        raise SchemaFailed(f"the models can't be built by themselves: {one_line(error)}") from error
