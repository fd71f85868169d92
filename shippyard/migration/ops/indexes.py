"""Owns indexes that are built and dropped while everybody goes on reading and writing.

Refuses to know constraints: `constraints.py` makes a unique index into one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from shippyard.migration.ops.steps import (
    StepRefused,
    Steps,
    apart,
    execute,
    qualified,
    quoted,
    sqlstate_of,
)

UNIQUE_VIOLATION = "23505"

FOUND_SQL = """
SELECT
    i.indisvalid AND i.indisready AS valid,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index i WHERE i.indexrelid = pg_catalog.to_regclass(:name)
"""


@dataclass(frozen=True)
class IndexSpec:
    """An index as an author wants it. `keys` are columns or expressions, as SQL has them."""

    name: str
    table: str
    keys: tuple[str, ...]
    unique: bool = False
    where: str | None = None
    include: tuple[str, ...] = ()
    using: str = "btree"
    schema: str | None = None

    def statement(self, *, concurrently: bool = True, table: str | None = None) -> str:
        """The SQL that builds it; on another table of the same shape when `table` is given."""
        words = ["CREATE", "UNIQUE INDEX" if self.unique else "INDEX"]
        words += ["CONCURRENTLY"] if concurrently else []
        words += [quoted(self.name), "ON", table or qualified(self.table, self.schema)]
        words += ["USING", self.using, f"({', '.join(self.keys)})"]
        words += [f"INCLUDE ({quoted(*self.include)})"] if self.include else []
        words += [f"WHERE {self.where}"] if self.where else []
        return " ".join(words)


def create_index_concurrently(
    name: str,
    table: str,
    keys: Sequence[str],
    *,
    unique: bool = False,
    where: str | None = None,
    include: Sequence[str] = (),
    using: str = "btree",
    schema: str | None = None,
) -> None:
    """Build an index while rows are read and written.

    Locks: SHARE UPDATE EXCLUSIVE on the table, which stops other builds and VACUUM and no one else.
    It waits for every transaction that is older than it, on any table; that is why `lock_timeout`
    is off for this statement. Two scans of the table.

    Taken back by `drop_index_concurrently`. A second try adopts a valid index of the same
    definition, and drops and rebuilds one that an interrupted try left INVALID. When rows are not
    unique, what was built is dropped again.

    `keys` are columns or expressions in parentheses, with their order: `"created_at DESC"`.

    Raises:
        StepRefused: a valid index of that name is another one, or rows are not unique.
    """
    spec = IndexSpec(name, table, tuple(keys), unique, where, tuple(include), using, schema)
    with apart() as steps:
        build_index(steps, spec)


def drop_index_concurrently(name: str, *, schema: str | None = None) -> None:
    """Drop an index while rows are read and written.

    Locks: SHARE UPDATE EXCLUSIVE on the table; waits for the transactions that may use the index. A
    plain DROP INDEX takes ACCESS EXCLUSIVE on the table instead. Taken back by
    `create_index_concurrently`. A second try finds nothing, or what an interrupted one left.
    """
    with apart() as steps:
        steps.take_concurrently(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified(name, schema)}")


def build_index(steps: Steps, spec: IndexSpec) -> None:
    """The same, for a caller that already stands apart."""
    if steps.rendering or _is_to_be_built(steps, spec):
        _build(steps, spec)


def _is_to_be_built(steps: Steps, spec: IndexSpec) -> bool:
    """False when it is there; one that is there and INVALID is dropped first."""
    found = steps.ask(FOUND_SQL, name=qualified(spec.name, spec.schema))
    if found is None:
        return True
    if not found["valid"]:
        _drop(steps, spec)
        return True
    if _essence(str(found["definition"])) != _essence(_as_built_on_a_copy(steps, spec)):
        raise StepRefused(
            f"index {spec.name} is there and is another one: {found['definition']}; "
            "drop it in a revision before, or choose another name"
        )
    return False


def _build(steps: Steps, spec: IndexSpec) -> None:
    try:
        steps.take_concurrently(spec.statement())
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        _drop(steps, spec)  # what a failed build leaves is kept up to date and never used
        if sqlstate_of(error) != UNIQUE_VIOLATION:
            raise
        detail = " ".join(str(error.orig).split())
        raise StepRefused(f"{detail}; make the rows unique in a revision before") from error


def _drop(steps: Steps, spec: IndexSpec) -> None:
    name = qualified(spec.name, spec.schema)
    steps.take_concurrently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _as_built_on_a_copy(steps: Steps, spec: IndexSpec) -> str:
    """How the server writes down the index that is wanted, seen on an empty table of that shape."""
    like = qualified(spec.table, spec.schema)
    execute("BEGIN")
    try:
        execute(f"CREATE TEMPORARY TABLE shippyard_like (LIKE {like}) ON COMMIT DROP")
        execute(spec.statement(concurrently=False, table="pg_temp.shippyard_like"))
        built = steps.ask(FOUND_SQL, name=f"pg_temp.{quoted(spec.name)}")
    finally:
        execute("ROLLBACK")
    assert built is not None
    return str(built["definition"])


def _essence(definition: str) -> str:
    """An index definition without its name and its table."""
    kind, _, rest = definition.partition(" USING ")
    return f"{'unique' if re.match('CREATE UNIQUE', kind) else 'plain'} {rest}"
