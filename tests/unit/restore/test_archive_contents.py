"""What makes a table whole: read from the list of an archive that a real pg_dump made."""

import pytest

from shippyard.backup.restore.contents import (
    Item,
    NotInArchive,
    Selection,
    choose,
    parse_contents,
    weights,
)

LISTING = """;
; Archive created at 2026-11-22 20:00:51 UTC
;     dbname: postgres
;
3386; 0 0 ENCODING - ENCODING
3389; 1262 5 DATABASE - postgres postgres
6; 2615 16385 SCHEMA - app postgres
845; 1247 16387 TYPE app mood postgres
;\tdepends on: 6
222; 1255 16428 FUNCTION app f() postgres
;\tdepends on: 6
218; 1259 16404 TABLE app orders postgres
;\tdepends on: 6
219; 1259 16414 TABLE app part postgres
;\tdepends on: 6
220; 1259 16417 TABLE app part1 postgres
;\tdepends on: 6 219
217; 1259 16393 TABLE app users postgres
;\tdepends on: 845 6
3393; 0 0 COMMENT app COLUMN users.email postgres
;\tdepends on: 217
3394; 0 0 ACL app TABLE users postgres
;\tdepends on: 217
215; 1259 16391 SEQUENCE app users_id_seq postgres
;\tdepends on: 217 6
3395; 0 0 SEQUENCE OWNED BY app users_id_seq postgres
;\tdepends on: 215
221; 1259 16422 VIEW app v postgres
;\tdepends on: 217 217 6 845
3219; 0 0 TABLE ATTACH app part1 postgres
;\tdepends on: 220 219
3220; 2604 16396 DEFAULT app users id postgres
;\tdepends on: 215 217 217
3382; 0 16404 TABLE DATA app orders postgres
;\tdepends on: 218
3383; 0 16417 TABLE DATA app part1 postgres
;\tdepends on: 220
3381; 0 16393 TABLE DATA app users postgres
;\tdepends on: 217
3397; 0 0 SEQUENCE SET app users_id_seq postgres
;\tdepends on: 215
3227; 2606 16408 CONSTRAINT app orders orders_pkey postgres
;\tdepends on: 218
3225; 2606 16400 CONSTRAINT app users users_pkey postgres
;\tdepends on: 217
3228; 1259 16420 INDEX app pi postgres
;\tdepends on: 219
3229; 1259 16421 INDEX app part1_id_idx postgres
;\tdepends on: 3228 220 220
3223; 1259 16403 INDEX app users_m_idx postgres
;\tdepends on: 217
3230; 0 0 INDEX ATTACH app part1_id_idx postgres
;\tdepends on: 3229 3228 220 219
3233; 2620 16429 TRIGGER app users tr postgres
;\tdepends on: 222 217
3232; 2606 16409 FK CONSTRAINT app orders orders_buyer_fkey postgres
;\tdepends on: 217 3225 218
3377; 0 16393 ROW SECURITY app users postgres
;\tdepends on: 217
"""

ITEMS = parse_contents(LISTING)
OWN = {217, 3393, 3394, 215, 3395, 3220, 3381, 3397, 3225, 3223, 3233, 3377}


def test_every_item_is_read_with_what_it_needs() -> None:
    assert len(ITEMS) == 29
    assert Item(3229, "INDEX app part1_id_idx postgres", frozenset({3228, 220})) in ITEMS


def test_a_table_comes_with_all_that_is_its_own_and_nothing_else() -> None:
    chosen = choose(ITEMS, Selection("app", "users"), with_needs=False)
    assert chosen.ids == OWN
    assert [key.id for key in chosen.keys] == [3232]
    assert chosen.views == ("VIEW app v postgres",)


def test_into_an_empty_database_it_comes_with_what_it_needs() -> None:
    chosen = choose(ITEMS, Selection("app", "users"), with_needs=True)
    assert chosen.ids == OWN | {6, 845, 222}


def test_a_partitioned_table_takes_its_partitions_and_their_indexes() -> None:
    chosen = choose(ITEMS, Selection("app", "part"), with_needs=False)
    assert chosen.ids == {219, 3219, 220, 3383, 3228, 3229, 3230}


def test_a_partition_by_itself_does_not_take_its_parent() -> None:
    chosen = choose(ITEMS, Selection("app", "part1"), with_needs=False)
    assert 219 not in chosen.ids
    assert {220, 3383, 3229} <= chosen.ids


def test_a_schema_is_all_that_is_in_it_and_itself() -> None:
    chosen = choose(ITEMS, Selection("app"), with_needs=False)
    assert chosen.ids == {item.id for item in ITEMS} - {3386, 3389}
    assert chosen.keys == ()


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (Selection("app", "user"), r"app\.user is not in this backup; it has app\.orders"),
        (Selection("ap"), "schema ap is not in this backup; it has schema app"),
        (Selection("public", "users"), r"public\.users is not"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(only: Selection, said: str) -> None:
    with pytest.raises(NotInArchive, match=said):
        choose(ITEMS, only, with_needs=False)


@pytest.mark.parametrize(
    ("text", "kind", "is_it"),
    [
        ("TABLE app users postgres", "TABLE", True),
        ("TABLE DATA app users postgres", "TABLE", False),
        ("TABLE ATTACH app part1 postgres", "TABLE", False),
        ("TABLE DATA app users postgres", "TABLE DATA", True),
        ("INDEX ATTACH app i postgres", "INDEX", False),
        ("SEQUENCE SET app s postgres", "SEQUENCE", False),
        ("DEFAULT ACL app x postgres", "DEFAULT", False),
        ("FK CONSTRAINT app orders k postgres", "CONSTRAINT", False),
    ],
)
def test_a_kind_is_told_from_one_that_begins_alike(
    text: str,
    kind: str,
    *,
    is_it: bool,
) -> None:
    assert Item(1, text).is_a(kind) is is_it


def test_work_is_weighed_by_rows() -> None:
    weighed = weights(ITEMS, {"app users": 500})
    assert weighed[3381] == 501
    assert weighed[3225] == 167
    assert weighed[3382] == 1
    assert 3386 not in weighed
