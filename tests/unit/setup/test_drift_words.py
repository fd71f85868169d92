"""What is compared between models and revisions, and how a difference is told."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from shippyard.setup.drift import (
    Drift,
    drift_between,
    first_difference,
    of_models,
    said_by_autogenerate,
)

COMMENT = "COMMENT 'kept by ROW LEVEL SECURITY FORCED'"


def test_models_have_no_words_for_policies_functions_and_row_security() -> None:
    objects = {
        "table public.t": f"WITH (fillfactor=70) ROW LEVEL SECURITY FORCED {COMMENT}",
        "table public.u": "ROW LEVEL SECURITY",
        "table public.v": COMMENT,
        "column public.t.a": "integer",
        "policy public.t.own": "FOR ALL TO PUBLIC",
        "function public.f()": "CREATE FUNCTION",
        "trigger public.t.g": "CREATE TRIGGER",
    }
    assert of_models(objects) == {
        "table public.t": f"WITH (fillfactor=70) {COMMENT}",
        "table public.u": "",
        "table public.v": COMMENT,
        "column public.t.a": "integer",
    }


def test_differences_say_from_what_to_what() -> None:
    found = drift_between("models", {"index i": "x"}, "revisions", {"index i": "y"})
    assert found == [Drift("models", "revisions", "~ index i: x → y")]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [({}, {"extension e": ""}, 0), ({"extension e": ""}, {}, 1), ({}, {"table t": ""}, 1)],
)
def test_an_extension_too_many_is_no_drift(
    before: dict[str, str], after: dict[str, str], count: int
) -> None:
    assert len(drift_between("revisions", before, "shop", after)) == count


@pytest.mark.parametrize(
    ("kept", "made", "line"),
    [("", "a\n", 1), ("a\nb\n", "a\nc\n", 2), ("a\n", "a\nb\n", 2), ("a\nb\n", "a\n", 2)],
)
def test_the_first_line_that_differs(kept: str, made: str, line: int) -> None:
    assert first_difference(kept, made) == line


def test_what_autogenerate_would_do_is_told_in_a_line() -> None:
    column = Column("stray", Integer)
    table = Table("users", MetaData(), column)
    assert said_by_autogenerate(("add_column", None, "users", column)) == "add_column users stray"
    assert said_by_autogenerate(("remove_table", table)) == "remove_table users"
    changed = ("modify_nullable", None, "users", "stray", {"existing_type": Integer}, True, False)
    assert said_by_autogenerate([changed]) == "modify_nullable users stray"
