"""Rows of all proofs share one table of evidence, by name."""

from collections import Counter

from proofs import backups, loop, schema


def test_no_two_rows_have_one_name() -> None:
    names = Counter(row.name for row in (*loop.ROWS, *backups.ROWS, *schema.ROWS))
    assert [name for name, count in names.items() if count > 1] == []
