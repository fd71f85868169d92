"""What a person types becomes what is wanted, or one line that says how it is written."""

from typing import Any

import pytest

from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.words import RequestInvalid, wanted_of


def test_a_table_without_schema_is_public() -> None:
    wanted = wanted_of({"of": "shop", "table": "users"}, way="dump", target="shop")
    assert wanted.only == Selection("public", "users")
    assert wanted.point.kind == "latest"


def test_a_schema_under_another_name() -> None:
    words = {"schema": "app", "into_schema": "app_old", "timeline": "3"}
    wanted = wanted_of(words, way="dump", target="shop")
    assert wanted.only == Selection("app", None, "app_old")
    assert wanted.point.timeline == "3"


@pytest.mark.parametrize(
    ("words", "way", "said"),
    [
        ({"table": "a.b", "schema": "a"}, "dump", "not both"),
        ({"into_schema": "x"}, "dump", "goes with --table or --schema"),
        ({"table": "a.b"}, "files", "restored whole"),
        ({"at": "yesterday"}, "files", "is no point"),
        ({"at": "2026-01-01T00:00:00"}, "files", "no time zone"),
        ({"backup": 3}, "dump", "backup is text"),
        ({"of": "@main"}, "dump", "as in `… @main --data-dir /srv/restored`"),
    ],
)
def test_what_makes_no_sense_is_refused(words: dict[str, Any], way: Any, said: str) -> None:
    with pytest.raises(RequestInvalid, match=said):
        wanted_of(words, way=way, target="shop")
