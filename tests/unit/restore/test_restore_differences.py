"""What differs after a restore is said by table, role, extension; each with its remedy."""

from dataclasses import replace

import pytest

from shippyard.backup.manifest import (
    Content,
    Environment,
    Extension,
    SequenceContent,
    TableContent,
)
from shippyard.backup.restore.compare import content_differences, environment_differences

USERS = TableContent("public", "users", 3, "aa")
ORDERS = TableContent("public", "orders", 5, None)
WANTED = Content("all", (USERS, ORDERS), (SequenceContent("public", "ids", 7),), 1.0)
AROUND = Environment(
    roles={"app": ("login", "member of readers")},
    role_settings={"shop/": ("work_mem=7MB",), "/app": ("x=1",), "other/": ("y=2",)},
    extensions=(Extension("pg_trgm", "1.6"),),
    preload_libraries=("auto_explain",),
    encoding="UTF8",
    collation="C",
    collation_version="2.36",
)


def test_equal_content_has_no_differences() -> None:
    later = replace(WANTED, sequences=(SequenceContent("public", "ids", 9),))
    assert content_differences(WANTED, later) == []


def test_an_unlogged_table_that_a_standby_could_not_read_is_no_difference() -> None:
    unlogged = TableContent("public", "unlogged", 0, "0" * 32)
    assert content_differences(WANTED, replace(WANTED, tables=(USERS, ORDERS, unlogged))) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(WANTED, tables=(ORDERS,)), "public.users: missing, had 3 rows"),
        (
            replace(WANTED, tables=(replace(USERS, rows=2), ORDERS)),
            "public.users: 2 rows, had 3",
        ),
        (
            replace(WANTED, tables=(replace(USERS, digest="bb"), ORDERS)),
            "public.users: 3 rows as before, but their content differs",
        ),
        (
            replace(WANTED, tables=(replace(USERS, digest=None), ORDERS)),
            "public.users: not read in time, so not compared; give it longer",
        ),
        (
            replace(WANTED, tables=(USERS, ORDERS, TableContent("x", "y", 1, "c"))),
            "x.y: is not in the backup",
        ),
        (
            replace(WANTED, sequences=(SequenceContent("public", "ids", 6),)),
            "sequence public.ids: at 6, was at 7",
        ),
        (replace(WANTED, sequences=()), "sequence public.ids: missing, was at 7"),
    ],
)
def test_a_difference_is_said(found: Content, said: str) -> None:
    assert content_differences(WANTED, found) == [said]


def test_equal_surroundings_have_no_differences() -> None:
    here = replace(AROUND, role_settings={"shop_back/": ("work_mem=7MB",), "/app": ("x=1",)})
    assert list(environment_differences(AROUND, here, "shop", "shop_back")) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"roles": {}}, 'role app is missing; run: CREATE ROLE "app"'),
        ({"roles": {"app": ("login",)}}, "role app lost: member of readers"),
        (
            {"roles": {"app": ("login", "member of readers", "superuser")}},
            "role app may more than before: superuser",
        ),
        ({"role_settings": {"/app": ("x=1",)}}, "setting of database shop is missing: work_mem"),
        ({"extensions": ()}, 'pg_trgm is missing; run: CREATE EXTENSION "pg_trgm"'),
        (
            {"extensions": (Extension("pg_trgm", "1.5"),)},
            "ALTER EXTENSION \"pg_trgm\" UPDATE TO '1.6'",
        ),
        ({"preload_libraries": ()}, "auto_explain is not loaded"),
        ({"encoding": "LATIN1"}, "encoding is LATIN1, was UTF8"),
        ({"collation": "de_DE"}, "collation is de_DE, was C"),
        ({"collation_version": "2.40"}, 'REINDEX DATABASE "shop"'),
    ],
)
def test_a_surrounding_that_differs_is_said_with_its_remedy(
    changes: dict[str, object], said: str
) -> None:
    lines = list(environment_differences(AROUND, replace(AROUND, **changes), "shop", "shop"))  # type: ignore[arg-type]  # a field each
    assert len(lines) == 1
    assert said in lines[0]
