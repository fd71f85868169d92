"""Owns two columns that say the same while code of before and code of after run side by side.

A trigger copies what one kind of code writes to where the other kind reads. It fills new and
changed rows only: those that are there want a `backfill`.
"""

from shippyard.migration.ops.steps import execute, qualified, quoted

VALUE = "{}"

FUNCTION = """\
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.{new} IS NULL THEN
            NEW.{new} := {to_new};
        ELSIF NEW.{old} IS NULL THEN
            NEW.{old} := {to_old};
        END IF;
    ELSIF NEW.{new} IS NOT DISTINCT FROM OLD.{new} THEN
        IF NEW.{old} IS DISTINCT FROM OLD.{old} THEN
            NEW.{new} := {to_new};
        END IF;
    ELSIF NEW.{old} IS NOT DISTINCT FROM OLD.{old} THEN
        NEW.{old} := {to_old};
    END IF;
    RETURN NEW;
END
$$"""

TRIGGER = (
    "CREATE OR REPLACE TRIGGER {trigger} BEFORE INSERT OR UPDATE OF {old}, {new} ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION {function}()"
)


def dual_write(
    table: str,
    old: str,
    new: str,
    *,
    to_new: str = VALUE,
    to_old: str = VALUE,
    schema: str | None = None,
) -> None:
    """Keep `old` and `new` in step: what is written to one goes to the other.

    Code that writes both is left alone. `to_new` and `to_old` turn one value into the other, with
    `{}` where the value stands and functions named with their schema; by default it is copied.

    Locks: SHARE ROW EXCLUSIVE on the table for a moment, which stops writers. It is part of the
    revision's own transaction, so it may stand beside the ADD COLUMN. Taken back by
    `drop_dual_write`; a second try replaces the first.
    """
    names = _names(table, old, new, schema)
    values = {
        "to_new": to_new.format(f"NEW.{names['old']}"),
        "to_old": to_old.format(f"NEW.{names['new']}"),
    }
    execute(FUNCTION.format(**names, **values))
    execute(TRIGGER.format(**names))


def drop_dual_write(table: str, old: str, new: str, *, schema: str | None = None) -> None:
    """End `dual_write`; both columns keep what they hold.

    Locks: ACCESS EXCLUSIVE on the table for a moment, in the revision's own transaction. Taken back
    by `dual_write`; a second try finds nothing to do.
    """
    names = _names(table, old, new, schema)
    execute("DROP TRIGGER IF EXISTS {trigger} ON {table}".format(**names))
    execute("DROP FUNCTION IF EXISTS {function}()".format(**names))


def _names(table: str, old: str, new: str, schema: str | None) -> dict[str, str]:
    name = f"dual_write_{table}_{old}_{new}"
    return {
        "table": qualified(table, schema),
        "old": quoted(old),
        "new": quoted(new),
        "function": qualified(name, schema),
        "trigger": quoted(name),
    }
