"""Work that Python does on the connection itself. H40, H41."""

from collections.abc import Iterator

from shippyard.migration.hazards.scene import Found, Scene

CHANGES = frozenset({"update_stmt", "delete_stmt", "insert_stmt", "merge_stmt", "python"})
READS = frozenset({"select_stmt", "variable_set_stmt"})


def python_loops(scene: Scene) -> Iterator[Found]:
    """Rows that a loop changes one by one, all in one transaction."""
    statement = scene.statement
    if statement.kind == "python" and statement.by == "connection":
        yield _rows("it can't be read what this sends")
    elif statement.unrolled and statement.kind in CHANGES and statement.by != "driver":
        yield _rows("a loop sends it, once for each row, in one transaction")


def driver_calls(scene: Scene) -> Iterator[Found]:
    """What goes to the driver past SQLAlchemy is not seen by what watches SQLAlchemy."""
    if scene.statement.by == "driver" and scene.statement.kind not in READS:
        yield Found(
            "H41",
            "warn",
            "it goes to the driver directly: it can't be rendered, planned or counted",
            "op.execute('...'), or the operation that says the same",
        )


def _rows(why: str) -> Found:
    return Found(
        "H40",
        "warn",
        f"{why}: rows stay locked until the end, and it can't be rendered",
        "ops.backfill('<name>', '<table>', {'<column>': '<SQL expression>'}), alone in a revision",
    )
