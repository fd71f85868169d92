"""What lint says of revisions, rule by rule."""

import inspect
from pathlib import Path

import pytest

from shippyard.migration import ops
from shippyard.migration.lint import IN_TRANSACTION, Finding, find_faults
from shippyard.migration.tree import Tree, read_tree

MIGRATIONS = Path(__file__).parents[3] / "migrations"

GOOD = '''"""{title}.

What running code sees: nothing.
"""

from alembic import op

revision = "{number}"
down_revision = {down!r}


def upgrade() -> None:
    {up}


def downgrade() -> None:
    op.drop_table("t")
'''


def text(number: str, down: str | None, *, title: str = "Add t", up: str = "pass") -> str:
    return GOOD.format(number=number, down=down, title=title, up=up)


def faults(**files: str) -> tuple[Finding, ...]:
    """What is said of files, named `_001_add_t` and so on."""
    versions = {f"versions/{name[1:]}.py": each.encode() for name, each in files.items()}
    return find_faults(Tree("alembic.ini", ".", {"env.py": b"", **versions}))


def said(found: tuple[Finding, ...]) -> list[tuple[str, int, str]]:
    return [(Path(each.file).name, each.line, each.rule) for each in found]


def test_the_shippyar_history_has_no_fault() -> None:
    assert find_faults(read_tree(MIGRATIONS / "alembic.ini")) == ()


def test_a_good_chain_has_no_fault() -> None:
    assert faults(_001_add_t=text("001", None), _002_add_u=text("002", "001")) == ()


def test_a_misnamed_file_is_told_its_name() -> None:
    (found,) = faults(_t=text("001", None))
    assert found == Finding("versions/t.py", 8, "name", "rename it to 001_add_t.py")


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\nif:\n", 2, "is not Python: invalid syntax (<unknown>, line 2); mend the file"),
        ("x = 1\n", 1, "has no literal revision = '...'; add it"),
        ("revision = make()\n", 1, "revision is computed; write it as a literal"),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_goes_on(
    source: str, line: int, message: str
) -> None:
    found = faults(_001_add_t=source, _002_add_u=text("002", "001"), _x=text("003", "002"))
    assert found[0] == Finding("versions/001_add_t.py", line, "readable", message)
    assert said(found[1:]) == [("x.py", 8, "name")]


def test_two_files_with_one_number() -> None:
    (found,) = faults(_001_add_t=text("001", None), _001_add_u=text("001", None))
    assert (found.file, found.line, found.rule) == ("versions/001_add_u.py", 8, "number")
    assert found.message == "001_add_t.py has this number too; renumber one"


def test_two_heads_are_one_finding_where_it_is_mended() -> None:
    (found,) = faults(
        _001_a=text("001", None), _002_b=text("002", "001"), _003_c=text("003", "001")
    )
    assert (found.file, found.line, found.rule) == ("versions/003_c.py", 9, "order")
    assert found.message == (
        "it builds on '001'; set down_revision = '002'; several heads (002, 003)"
    )


@pytest.mark.parametrize(
    ("down", "message"),
    [
        (None, "it builds on nothing; set down_revision = '001'"),
        ("000", "it builds on '000'; set down_revision = '001'"),
        (("001", "000"), "it joins branches; only a straight chain of revisions is run"),
    ],
)
def test_the_chain_is_in_the_order_of_its_numbers(
    down: str | tuple[str, ...] | None, message: str
) -> None:
    second = text("002", None).replace("down_revision = None", f"down_revision = {down!r}")
    (found,) = faults(_001_a=text("001", None), _002_b=second)
    assert found.rule == "order"
    assert found.message.startswith(message)


def test_numbers_are_ordered_as_numbers() -> None:
    assert faults(_999_a=text("999", None), _1000_b=text("1000", "999")) == ()


@pytest.mark.parametrize("body", ["pass", "...", '"""Nothing."""', "raise NotImplementedError"])
def test_a_downgrade_that_does_nothing(body: str) -> None:
    (found,) = faults(_001_a=text("001", None).replace('op.drop_table("t")', body))
    assert said((found,)) == [("001_a.py", 16, "downgrade")]


def test_a_downgrade_that_is_missing() -> None:
    source = text("001", None).partition("\n\ndef downgrade")[0]
    assert said(faults(_001_a=source)) == [("001_a.py", 1, "downgrade")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("What running code sees: nothing.", ""),
        ("nothing.", "say here what the code of before and the\ncode of after find."),
        ('"""Add t.\n\nWhat running code sees: nothing.\n"""', ""),
    ],
)
def test_a_docstring_says_what_running_code_sees(before: str, after: str) -> None:
    (found,) = faults(_001_add_t=text("001", None).replace(before, after))
    assert (found.line, found.rule) == (1, "docstring")


@pytest.mark.parametrize(
    "up",
    [
        'op.add_column("t", c)\n    ops.add_not_null("t", "c")',
        'ops.add_check("c", "t", "x > 0")\n    ops.add_not_null("t", "c")',
        'ops.dual_write("t", "a", "b")\n    ops.backfill("b", "t", {"b": "a"})',
        'for name in ():\n        op.drop_column("t", name)\n    ops.add_unique("u", "t", ["c"])',
    ],
)
def test_a_step_that_commits_stands_alone(up: str) -> None:
    (found,) = faults(_001_a=text("001", None).replace("    pass", f"    {up}"))
    assert found.rule == "alone"
    assert "is beside it; a revision for each" in found.message


@pytest.mark.parametrize(
    "up",
    [
        'op.add_column("t", c)\n    ops.dual_write("t", "a", "b")',
        'ops.require_backfill("b")\n    ops.add_not_null("t", "c")',
        'ops.require_roles("r")\n    op.execute("SELECT 1")\n    op.execute("SELECT 2")',
        'ops.create_index_concurrently("i", "t", ["c"])',
        'op.drop_constraint(op.f("c"), "t")',
    ],
)
def test_what_may_stand_together(up: str) -> None:
    assert faults(_001_a=text("001", None).replace("    pass", f"    {up}")) == ()


def test_lint_knows_which_steps_commit() -> None:
    steps = {name for name in ops.__all__ if inspect.isfunction(getattr(ops, name))}
    apart = {name for name in steps if "with apart()" in inspect.getsource(getattr(ops, name))}
    asking = {name for name in steps if name.startswith("require_")}
    assert steps - apart - asking == IN_TRANSACTION
