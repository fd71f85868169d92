"""Hazards that can be told from a migration's text, before anything runs.

Pure: no file is opened, no program started, no database asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

from shippyard.migration.hazards.engine import Place, hazard, look_over, reason_for, without_doubles
from shippyard.migration.hazards.model import Hazard, Level, Way
from shippyard.migration.hazards.reading.comments import allowances_in_sql
from shippyard.migration.hazards.reading.nodes import column_of, commands, relation, type_of
from shippyard.migration.hazards.reading.revision import Read, read
from shippyard.migration.hazards.reading.script import Script
from shippyard.migration.hazards.reading.sql import Statement, read_sql
from shippyard.migration.hazards.schema import Schema
from shippyard.migration.hazards.whole import of_revision
from shippyard.migration.plan import Plan, PlanRefused, Revision, history_of, read_revision

__all__ = ["Hazard", "Level", "find_hazards", "find_in_sql", "find_one_by_one"]


def find_hazards(plan: Plan, files: Mapping[str, bytes]) -> tuple[Hazard, ...]:
    """All that a plan's text shows: each revision up, then each down.

    `files` are the tree's, by path: those of the plan's revisions, and of what ran before, from
    which the schema is known.
    """
    schema = _schema_before(plan, files)
    schema.planning = True
    found = _read(plan, files)
    schema.types_after = _types_given_back(found)
    return without_doubles(_all(found, schema))


def find_one_by_one(plan: Plan, files: Mapping[str, bytes]) -> tuple[Hazard, ...]:
    """The same, but with each revision deployed, and its tables in use, before the next one."""
    schema = _schema_before(plan, files)
    schema.planning = True
    found: list[Hazard] = []
    for each in _read(plan, files):
        schema.types_after = _types_given_back([each])
        found += [*_of_whole(each), *_of_way(each, "up", each.up, schema)]
        found += _of_way(each, "down", each.down, deepcopy(schema))
        schema.settle()
    return without_doubles(iter(found))


def find_in_sql(sql: str, *, in_transaction: bool = True) -> tuple[Hazard, ...]:
    """All that a text of plain SQL shows; without BEGIN it is one transaction, or none."""
    allowed = allowances_in_sql(sql)
    schema = Schema(planning=True)
    statements = read_sql(sql, in_transaction=in_transaction)

    def each() -> Iterator[Hazard]:
        for statement, found in look_over(statements, schema, "up"):
            line = statement.line
            made = hazard(found, Place("up", line, statement.text))
            yield replace(made, suppressed=reason_for(found.id, line, (0, 0), allowed))

    return without_doubles(each())


def _read(plan: Plan, files: Mapping[str, bytes]) -> list[Read]:
    return [
        read(each, files[each.file], plan.rendered.get(each.revision), plan.undo.get(each.revision))
        for each in plan.revisions
        if each.file in files
    ]


def _all(found: Sequence[Read], schema: Schema) -> Iterator[Hazard]:
    for each in found:
        yield from _of_whole(each)
        yield from _of_way(each, "up", each.up, schema)
    for each in reversed(found):
        yield from _of_way(each, "down", each.down, schema)


def _of_way(
    read_: Read, way: Way, statements: Sequence[Statement], schema: Schema
) -> Iterator[Hazard]:
    revision = read_.revision
    for statement, found in look_over(statements, schema, way):
        made = hazard(found, Place(way, statement.line, statement.text, *_name_of(revision)))
        why = reason_for(found.id, statement.line, statement.span, read_.allowed)
        yield replace(made, suppressed=why)


def _of_whole(read_: Read) -> Iterator[Hazard]:
    revision = read_.revision
    for told in of_revision(read_):
        made = hazard(told.found, Place(told.way, told.line, told.text, *_name_of(revision)))
        why = reason_for(told.found.id, told.line, (0, 0), read_.allowed)
        yield replace(made, suppressed=why)


def _name_of(revision: Revision) -> tuple[str, str]:
    return revision.file, revision.revision


def _schema_before(plan: Plan, files: Mapping[str, bytes]) -> Schema:
    """The schema that the revisions before the plan have made, as far as their files say."""
    schema = Schema()
    for revision in _before(plan, files):
        for statement in Script(files[revision.file]).statements("upgrade"):
            schema.apply(statement)
    return schema


def _before(plan: Plan, files: Mapping[str, bytes]) -> list[Revision]:
    if plan.current is None:
        return []
    known: dict[str, Revision] = {}
    for path in files:
        if path.endswith(".py") and "/versions/" in f"/{path}":
            try:
                revision = read_revision(path, files[path])
            except PlanRefused:  # a module that revisions share
                continue
            known[revision.revision] = revision
    return list(reversed(history_of(known, plan.current)))


def _types_given_back(found: Sequence[Read]) -> dict[tuple[str, str], str]:
    """The types that the ways back give columns: what they were before."""
    types: dict[tuple[str, str], str] = {}
    for each in found:
        for statement in each.down:
            for command in commands(statement.node):
                if command.get("subtype") == "AT_AlterColumnType":
                    place = relation(statement.node.get("relation")), command.get("name", "")
                    types.setdefault(place, type_of(column_of(command).get("type_name")))
    return types
