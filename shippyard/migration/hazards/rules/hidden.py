"""What a statement hides: functions, DO blocks, text that is built. H38, H39."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import called
from shippyard.migration.hazards.rules.volatility import is_built_in
from shippyard.migration.hazards.scene import Found, Scene

WRITES = frozenset({"update_stmt", "delete_stmt", "insert_stmt", "merge_stmt", "truncate_stmt"})
READS = frozenset({"select_stmt", "variable_set_stmt", "notify_stmt", "explain_stmt"})


def calling_functions(scene: Scene) -> Iterator[Found]:
    """A function that is called may write any number of rows, or change tables."""
    if not scene.is_a("select_stmt", "call_stmt"):
        return
    known = scene.schema.functions
    for name in sorted(called(scene.node)):
        if not is_built_in(name) and name not in known:
            yield Found(
                "H38",
                "warn",
                f"what {name}() writes or locks can't be seen here",
                "write its statements out; rows that change are ops.backfill's business",
            )


def hidden_changes(scene: Scene) -> Iterator[Found]:
    """What a block or a function was seen to do, where nobody looks for it."""
    statement = scene.statement
    if not statement.by or statement.kind in READS:
        return
    if statement.by == "function" and statement.kind in WRITES:
        yield Found(
            "H38",
            "warn",
            "rows are changed inside a function, in this one transaction",
            "write the statement out; rows that change are ops.backfill's business",
        )
    elif statement.by in {"do dynamic", "function dynamic"}:
        yield Found(
            "H39",
            "warn",
            "text is built and executed: a reader, and most tools, do not see what it is",
            "write the statement out: op.execute('...')",
        )


def unknown_changes(scene: Scene) -> Iterator[Found]:
    """Text that only exists when it runs."""
    if scene.statement.by.endswith("unknown"):
        yield Found(
            "H39",
            "warn",
            "EXECUTE runs text that can't be known before: any lock, any rewrite",
            "write the statement out: op.execute('...')",
        )


def unreadable(scene: Scene) -> Iterator[Found]:
    """What PostgreSQL's parser does not take fails."""
    if scene.is_a("unreadable"):
        yield Found(
            "H74",
            "block",
            f"PostgreSQL can't read it: {scene.node.get('error', '')}",
            "mend the statement",
        )
