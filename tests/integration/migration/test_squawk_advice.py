"""What squawk says beside us, where it is installed; and without it, nothing breaks."""

import sys
from pathlib import Path

import pytest

from bench.hazard_cases import load_cases, plan_of, write_tree
from shippyard.host.process import Processes
from shippyard.migration.hazards import Hazard, find_hazards
from shippyard.migration.hazards.squawk import with_advice

PROGRAM = Path(sys.executable).with_name("squawk")


def advised(name: str, folder: Path, processes: Processes, program: str) -> tuple[Hazard, ...]:
    case = next(each for each in load_cases() if each.name == name)
    tree = write_tree(case, folder)
    plan = plan_of(tree, folder)
    return with_advice(find_hazards(plan, tree.files), plan, processes, program)


@pytest.mark.skipif(not PROGRAM.exists(), reason="squawk is not installed")
def test_what_we_say_already_is_not_said_twice(tmp_path: Path, processes: Processes) -> None:
    found = advised("index_plain", tmp_path / "tree", processes, str(PROGRAM))

    assert [(each.id, each.source) for each in found if each.flags] == [("H01", "shippyard")]
    assert "require-concurrent-index-creation" not in {each.id for each in found}


@pytest.mark.skipif(not PROGRAM.exists(), reason="squawk is not installed")
def test_its_advice_is_a_note(tmp_path: Path, processes: Processes) -> None:
    found = advised("column_identity", tmp_path / "tree", processes, str(PROGRAM))
    theirs = [each for each in found if each.source == "squawk"]

    assert theirs
    assert {each.level for each in theirs} == {"note"}
    assert {each.revision for each in theirs} == {"002"}


def test_a_program_that_says_nonsense_says_nothing(tmp_path: Path, processes: Processes) -> None:
    for program in ("/bin/echo", "/nowhere/squawk"):
        found = advised("rename_table", tmp_path / program[1:4], processes, program)

        assert [each.id for each in found] == ["H31", "H31"][: len(found)]
