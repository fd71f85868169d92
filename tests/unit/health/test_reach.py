"""Which databases of a cluster are visited, and why others are not."""

from typing import Any

import pytest

from shippyard.config.models import Health
from shippyard.health.reach import REACHED_MAX, reach_of

ALL = Health(reach="all")


def row(datname: str, **more: Any) -> dict[str, Any]:
    fine = {"datistemplate": False, "datallowconn": True, "datconnlimit": -1, "may_connect": True}
    return {"datname": datname, **fine, **more}


def test_all_but_those_that_have_a_poller() -> None:
    found = reach_of([row("orders"), row("postgres"), row("shop")], ALL, {"shop"})
    assert found.visited == ("orders", "postgres")
    assert found.left_out == {}


@pytest.mark.parametrize(
    ("include", "exclude", "visited"),
    [
        (("tenant_*",), (), ("tenant_a", "tenant_b")),
        (("*",), ("tenant_*",), ("postgres",)),
        (("tenant_*",), ("*_b",), ("tenant_a",)),
        ((), (), ()),
        (("TENANT_*",), (), ()),
    ],
)
def test_patterns(
    include: tuple[str, ...], exclude: tuple[str, ...], visited: tuple[str, ...]
) -> None:
    settings = Health(reach="all", include=include, exclude=exclude)
    rows = [row("postgres"), row("tenant_a"), row("tenant_b")]
    assert reach_of(rows, settings, ()).visited == visited


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"datistemplate": True}, "a template"),
        ({"datallowconn": False}, "takes no connections"),
        ({"datconnlimit": -2}, "takes no connections"),
        ({"may_connect": False}, 'GRANT CONNECT ON DATABASE "odd" TO the monitor\'s login'),
    ],
)
def test_what_can_not_be_visited_is_left_out_with_its_reason(
    more: dict[str, Any], why: str
) -> None:
    found = reach_of([row("odd", **more), row("even")], ALL, ())
    assert found.visited == ("even",)
    assert found.left_out == {"odd": why}


def test_what_config_does_not_select_is_not_worth_a_word() -> None:
    rows = [row("template1", datistemplate=True)]
    assert reach_of(rows, Health(reach="all", exclude=("template*",)), ()).left_out == {}


def test_a_round_has_an_end() -> None:
    rows = [row(f"d{number:04}") for number in range(REACHED_MAX + 3)]
    found = reach_of(rows, ALL, ())
    assert (len(found.visited), len(found.left_out)) == (REACHED_MAX, 3)
