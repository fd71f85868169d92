"""The language of `when`."""

import pytest

from shippyard.health.when import Condition, WhenInvalid, parse_when, when_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value > 0", Condition("value", ">", 0.0)),
        ("rows>=2", Condition("rows", ">=", 2.0)),
        ("  used_ratio   >=   near  ", Condition("used_ratio", ">=", 0.9)),
        ("a != -1.5", Condition("a", "!=", -1.5)),
    ],
)
def test_a_condition_is_parsed(text: str, expected: Condition) -> None:
    assert parse_when(text, {"near": 0.9}) == expected


@pytest.mark.parametrize(
    "text",
    ["", "value", "value >", "> 0", "value => 1", "value > 0 and rows > 1", "__import__('os')"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(WhenInvalid, match="write one like"):
        parse_when(text, {})


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(WhenInvalid, match="'limit' is neither a number"):
        parse_when("value > limit", {"other": 1.0})


@pytest.mark.parametrize(
    ("comparison", "holding"),
    [("<", [4]), ("<=", [4, 5]), ("==", [5]), ("!=", [4, 6]), (">=", [5, 6]), (">", [6])],
)
def test_each_comparison(comparison: str, holding: list[int]) -> None:
    condition = Condition("value", comparison, 5.0)
    assert [value for value in (4, 5, 6) if condition.holds(value)] == holding


def test_an_absent_value_meets_nothing() -> None:
    assert not Condition("value", "!=", 5.0).holds(None)


def test_names_on_the_right_are_parameters() -> None:
    assert when_names("used >= near_limit") == {"near_limit"}
    assert when_names("used >= 3") == frozenset()
