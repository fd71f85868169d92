"""Owns what became of data between two looks at it, in words. Pure."""

from collections.abc import Iterator

from shippyard.migration.rehearsal.data import ColumnTaken, DataTaken, TableTaken


def losses(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """What is not as it was, one line each; what was not read is not among them."""
    return (*gone(before, after), *_others(before, after))


def gone(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """Rows and values that are not there any more."""
    return tuple(_gone(before, after))


def columns_changed(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """Columns of both that hold other values, as `public.users.nick`: what a way up wrote over."""
    return tuple(
        f"{name}.{column}"
        for name, was, now in _both(before, after)
        for column, (old, new) in _common(was, now)
        if old != new
    )


def unproven(before: DataTaken, after: DataTaken) -> tuple[str, ...]:
    """Tables that were not looked at both times."""
    names = dict.fromkeys((*before.unread, *after.unread))
    return tuple(f"{name}: its values were not compared, the time ran out" for name in names)


def _gone(before: DataTaken, after: DataTaken) -> Iterator[str]:
    for name, was in before.tables.items():
        now = after.tables.get(name)
        if now is None and name not in after.unread and was.rows:
            yield f"{name}: the table is gone with {was.rows:,} rows"
        elif now is not None:
            yield from _gone_of(name, was, now)
    for name, last in before.sequences.items():
        if last is not None and name in after.sequences:
            stands = after.sequences[name]
            if stands is None or stands < last:
                begun = "its beginning" if stands is None else f"{stands:,}"
                yield f"{name}: the sequence went back from {last:,} to {begun}"


def _gone_of(name: str, was: TableTaken, now: TableTaken) -> Iterator[str]:
    if now.rows < was.rows:
        yield f"{name}: {was.rows - now.rows:,} rows are gone"
        return
    for column, old in was.columns.items():
        new = now.columns.get(column)
        if new is None and old.values:
            yield f"{name}.{column}: the column is gone with {old.values:,} values"
        elif new is not None and new.values < old.values:
            yield f"{name}.{column}: {old.values - new.values:,} values did not come back"


def _others(before: DataTaken, after: DataTaken) -> Iterator[str]:
    for name, was, now in _both(before, after):
        if now.rows > was.rows:
            yield f"{name}: {now.rows - was.rows:,} rows more than before"
        elif now.rows == was.rows:
            yield from _changed(name, was, now)


def _changed(name: str, was: TableTaken, now: TableTaken) -> Iterator[str]:
    found = list(_changed_columns(name, was, now))
    yield from found
    whole = was.columns.keys() == now.columns.keys()
    if whole and not found and was.together != now.together:
        yield f"{name}: values that were in one row are in others now"


def _changed_columns(name: str, was: TableTaken, now: TableTaken) -> Iterator[str]:
    for column, (old, new) in _common(was, now):
        if new.values > old.values:
            yield f"{name}.{column}: {new.values - old.values:,} values where there were none"
        elif new.values == old.values and new.checksum != old.checksum:
            yield f"{name}.{column}: its values are not as before"


def _both(before: DataTaken, after: DataTaken) -> Iterator[tuple[str, TableTaken, TableTaken]]:
    for name, was in before.tables.items():
        if (now := after.tables.get(name)) is not None:
            yield name, was, now


def _common(
    was: TableTaken, now: TableTaken
) -> Iterator[tuple[str, tuple[ColumnTaken, ColumnTaken]]]:
    for column, old in was.columns.items():
        if (new := now.columns.get(column)) is not None:
            yield column, (old, new)
