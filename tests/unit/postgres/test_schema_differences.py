"""What is said of two schemas that differ."""

from shippyard.postgres.schema_objects import Difference, differences


def test_equal_schemas_have_no_difference() -> None:
    assert differences({"table a": "x"}, {"table a": "x"}) == ()


def test_what_came_went_and_changed_is_told_by_name() -> None:
    found = differences({"table c": "1", "table a": "1"}, {"table c": "2", "table b": "1"})
    assert found == (
        Difference("table a", "1", None),
        Difference("table b", None, "1"),
        Difference("table c", "1", "2"),
    )
    assert [str(each) for each in found] == ["- table a: 1", "+ table b: 1", "~ table c: 1 → 2"]


def test_a_long_definition_is_one_line_and_cut() -> None:
    line = str(Difference("function f()", None, "CREATE\n" + "x" * 500))
    assert "\n" not in line
    assert line.endswith("…")
    assert len(line) < 200
