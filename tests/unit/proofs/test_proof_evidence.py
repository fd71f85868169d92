"""How figures come to stand in the evidence, and stay."""

from dataclasses import replace

from proofs.evidence import Record, merge

PAGE = Record(
    row="page",
    claim="a block pages",
    goal="within 13 s",
    figure="11.2 s",
    verdict="pass",
    command="make proof-loop ROWS=page",
    date="2026-03-04",
    commit="abc123",
    machine="2 cores",
)
LINT = replace(PAGE, row="lint", claim="clean", figure="0 problems")


def _rows(text: str) -> list[str]:
    table = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.split(" | ")[0].removeprefix("| ") for line in table[2:]]


def test_an_empty_file_gets_an_introduction_and_a_table() -> None:
    text = merge("", [PAGE])
    assert text.startswith("# Evidence\n")
    assert "| page | a block pages | within 13 s | 11.2 s | pass |" in text


def test_a_row_is_replaced_by_name_and_keeps_its_place() -> None:
    text = merge(merge("", [PAGE, LINT]), [replace(PAGE, figure="10.9 s")])
    assert _rows(text) == ["page", "lint"]
    assert "10.9 s" in text
    assert "11.2 s" not in text


def test_rows_of_other_proofs_stay_as_they_were() -> None:
    before = merge("", [LINT])
    after = merge(before, [PAGE])
    assert [line for line in before.splitlines() if "lint" in line] == [
        line for line in after.splitlines() if "lint" in line
    ]


def test_merging_the_same_rows_changes_nothing() -> None:
    once = merge("", [PAGE, LINT])
    assert merge(once, [PAGE, LINT]) == once


def test_what_people_wrote_around_the_table_stays() -> None:
    text = merge(merge("", [PAGE]) + "\n## By eye\n\nA screenshot.\n", [LINT])
    assert text.endswith("\n\n## By eye\n\nA screenshot.\n")
    assert _rows(text) == ["page", "lint"]


def test_a_row_that_could_not_run_replaces_no_figure() -> None:
    absent = replace(PAGE, figure="needs root", verdict="not run")
    assert "11.2 s" in merge(merge("", [PAGE]), [absent])
    assert "needs root" in merge("", [absent])


def test_a_figure_that_fell_short_replaces_one_that_held() -> None:
    slow = replace(PAGE, figure="44 s", verdict="fail")
    assert "11.2 s" not in merge(merge("", [PAGE]), [slow])


def test_bars_and_newlines_in_a_cell_do_not_break_the_table() -> None:
    odd = replace(PAGE, claim="this | that\nand more", goal="`x` stays")
    once = merge("", [odd])
    assert merge(once, [LINT]).count("this \\| that and more") == 1
    assert "| `x` stays |" in merge(once, [LINT])
