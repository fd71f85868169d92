"""docs/gates.md says of every gate what it does: which there are, answers, who may override."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from shippyard.migration.gates import GATES, ON_THE_WAY_BACK
from tests.unit.migration.gate_facts import verdict_of
from tests.unit.migration.test_gates_of_the_moment import CASES as OF_THE_MOMENT
from tests.unit.migration.test_migration_gates import CASES as OF_THE_PLAN

MANUAL = (Path(__file__).parents[3] / "docs" / "gates.md").read_text()
ANSWERS = ("block", "warn", "unknown")
FORBIDS = ("block", "unknown")
NEVER = "\N{EN DASH}"
NAMES = [gate.__name__ for gate in GATES]
CASES = [(gate, changes) for gate, changes, _, _ in (*OF_THE_PLAN, *OF_THE_MOMENT)]


def rows() -> Mapping[str, list[str]]:
    """What the page says of each gate."""
    lines = [line for line in MANUAL.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {found[0].strip("`"): found[1:] for found in cells}


def test_the_page_has_every_gate_in_its_order() -> None:
    assert list(rows()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_gives_the_answers_that_the_page_has(name: str) -> None:
    _, *said, _, _ = rows()[name]
    told = {answer for answer, cell in zip(ANSWERS, said, strict=True) if cell != NEVER}
    given = {verdict_of(gate, **changes).verdict for gate, changes in CASES if gate == name}
    assert given - {"pass"} == told


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_who_may_let_it_pass(name: str) -> None:
    verdicts = [verdict_of(gate, **changes) for gate, changes in CASES if gate == name]
    true = {verdict.override for verdict in verdicts if verdict.verdict in FORBIDS}
    told = set(re.findall(r"nobody|approver|emergency", rows()[name][-2]))
    assert true - {"nobody"} == told - {"nobody"}
    assert "nobody" in told or true != {"nobody"}


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_says_what_it_asks_and_what_to_do(name: str) -> None:
    asks, *_, do = rows()[name]
    assert "?" in asks
    assert do not in ("", NEVER)


def test_the_page_names_what_is_asked_on_the_way_back() -> None:
    section = MANUAL.split("## On the way back")[1].split("##")[0]
    assert set(re.findall(r"`([a-z_]+)`", section)) == ON_THE_WAY_BACK
