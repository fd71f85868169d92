"""Owns what a rule is given: a statement, the schema before it, and what its transaction holds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from shippyard.migration.hazards.model import Level
from shippyard.migration.hazards.reading.nodes import commands, relation
from shippyard.migration.hazards.reading.sql import Node, Statement
from shippyard.migration.hazards.schema import Schema

OURS = ("alembic_version", "shippyard.")
TABLES = frozenset({"OBJECT_TABLE", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE", ""})


@dataclass(frozen=True)
class Found:
    """What a rule says of a statement."""

    id: str
    level: Level
    why: str
    instead: str


@dataclass(frozen=True)
class Scene:
    """One statement as a rule sees it.

    `before` are the statements of the same revision that come first, `after` those that follow.
    """

    statement: Statement
    schema: Schema
    way: Literal["up", "down"] = "up"
    before: Sequence[Statement] = ()
    after: Sequence[Statement] = ()

    @property
    def node(self) -> Node:
        """What the parser made of the statement."""
        return self.statement.node

    @property
    def in_transaction(self) -> bool:
        """False for a statement that commits by itself."""
        return self.statement.transaction is not None

    def is_a(self, *kinds: str) -> bool:
        """True when the statement is of one of these kinds."""
        return self.statement.kind in kinds

    def in_use(self, table: str) -> bool:
        """True for a table that others may be reading and writing."""
        return not self.schema.is_new(table) and not table.startswith(OURS)

    def subcommands(self, *subtypes: str) -> Iterator[tuple[str, Node]]:
        """What an ALTER TABLE does to a table in use."""
        if not self.is_a("alter_table_stmt") or self.node.get("objtype", "") not in TABLES:
            return
        table = relation(self.node.get("relation"))
        if self.in_use(table):
            for command in commands(self.node):
                if command.get("subtype") in subtypes:
                    yield table, command

    def same_transaction(self) -> list[Statement]:
        """What the statement's transaction did before it."""
        here = self.statement.transaction
        return [each for each in self.before if here is not None and each.transaction == here]

    def rest_of_transaction(self) -> list[Statement]:
        """What the statement's transaction does after it."""
        here = self.statement.transaction
        return [each for each in self.after if here is not None and each.transaction == here]


Rule = Callable[[Scene], Iterator[Found]]
