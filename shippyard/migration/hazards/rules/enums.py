"""Values of enums that are used too early. H46."""

from collections.abc import Iterator

from shippyard.migration.hazards.reading.nodes import joined, strings, words
from shippyard.migration.hazards.scene import Found, Scene


def using_new_values(scene: Scene) -> Iterator[Found]:
    """A value is not to be used by the transaction that adds it."""
    said = strings(scene.node)
    for each in scene.same_transaction():
        value = each.node.get("new_val")
        if each.kind != "alter_enum_stmt" or each.node.get("old_val") or value not in said:
            continue
        name = joined(words(each.node.get("type_name")))
        if not scene.schema.enums.get(name):
            yield Found(
                "H46",
                "block",
                f"{value!r} was added to {name} by this transaction: it fails (55P04)",
                f"ALTER TYPE {name} ADD VALUE {value!r} in a revision before",
            )
