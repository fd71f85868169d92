"""The audit chain: every kind of meddling is found."""

from pathlib import Path

import pytest
from sqlalchemy import delete, text

from shippyard.host.signing import signer_in
from shippyard.migration.anchor import Anchor
from shippyard.migration.audit import GENESIS, Audit
from shippyard.state.database import State
from shippyard.state.tables import audit as table
from tests.conftest import FakeClock


@pytest.fixture
def audit(state: State, clock: FakeClock) -> Audit:
    made = Audit(state, clock)
    for number in range(4):
        made.record("ana", "run.requested", f"run-{number}", {"number": number, "word": "é"})
        clock.advance(1)
    return made


def test_an_untouched_chain_is_whole(audit: Audit) -> None:
    head = audit.record("bo", "run.finished", "run-3", {})
    report = audit.verify()
    assert (report.entries, report.head, report.problems) == (5, head, ())


def test_an_empty_chain_is_whole(state: State, clock: FakeClock) -> None:
    report = Audit(state, clock).verify()
    assert (report.entries, report.head, report.problems) == (0, GENESIS, ())


@pytest.mark.parametrize(
    ("meddling", "found"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 2", "entry 2 was changed"),
        ("UPDATE audit SET at = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 2", "entry 2 was"),
        ("""UPDATE audit SET detail = '{"number": 9}' WHERE seq = 1""", "entry 1 was changed"),
        ("UPDATE audit SET action = 'x' WHERE seq = 4", "entry 4 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "entry 1 is missing"),
        ("UPDATE audit SET hash = 'x' WHERE seq = 2", "entry 3 does not follow"),
    ],
)
def test_meddling_is_found(audit: Audit, state: State, meddling: str, found: str) -> None:
    with state.write() as connection:
        connection.execute(text(meddling))
    assert any(problem.startswith(found) for problem in audit.verify().problems)


def test_a_chain_cut_at_its_end_differs_in_its_head(audit: Audit, state: State) -> None:
    head = audit.verify().head
    with state.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = 4"))
    assert audit.verify().problems == ()
    assert audit.verify().head != head


def anchor_in(folder: Path) -> Anchor:
    return Anchor(folder, signer_in(folder / "keys"))


@pytest.fixture
def chain(state: State, clock: FakeClock, tmp_path: Path) -> Audit:
    """Three entries, anchored."""
    made = Audit(state, clock, anchor_in(tmp_path))
    for number in range(3):
        made.record("ana", "run.started", f"r{number}", {"number": number})
    return made


def made_anew(state: State, clock: FakeClock, *, count: int) -> None:
    """The whole chain, with other words, each hash as it should be."""
    with state.write() as connection:
        connection.execute(delete(table))
    forged = Audit(state, clock)
    for number in range(count):
        forged.record("ben", "run.started", f"r{number}", {"number": number})


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_chain_that_was_made_anew_is_told_by_its_anchor(
    chain: Audit, state: State, clock: FakeClock, count: int
) -> None:
    assert (chain.verify().problems, chain.verify().anchored) == ((), 3)
    made_anew(state, clock, count=count)
    assert Audit(state, clock).verify().problems == ()
    assert any("entry 1 is not the one" in problem for problem in chain.verify().problems)


def test_a_chain_that_was_cut_is_told_and_a_lost_anchor_is_no_comfort(
    chain: Audit, state: State, tmp_path: Path
) -> None:
    with state.write() as connection:
        connection.execute(delete(table).where(table.c.seq == 3))
    assert chain.verify().problems == ("entry 3 was written and is not there",)
    (tmp_path / "audit.anchor").unlink()
    report = chain.verify()
    assert (report.verdict, report.problems) == ("unknown", ())
    assert "nobody can say" in str(report.unknown)


@pytest.mark.parametrize("name", ["audit.anchor", "audit.head"])
def test_without_either_file_it_is_unknown_not_fine(
    chain: Audit, tmp_path: Path, name: str
) -> None:
    assert chain.verify().verdict == "whole"
    (tmp_path / name).unlink()
    assert chain.verify().verdict == "unknown"


def test_cutting_chain_and_anchor_at_one_place_is_told_by_the_head(
    chain: Audit, state: State, tmp_path: Path
) -> None:
    with state.write() as connection:
        connection.execute(delete(table).where(table.c.seq == 3))
    file = tmp_path / "audit.anchor"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    assert chain.verify().problems == ("entry 3 was written and is not there",)
    (tmp_path / "audit.head").write_text(file.read_text().splitlines()[1])  # a line is no head
    assert "audit.head is not signed" in chain.verify().problems[0]


def test_an_anchor_made_anew_with_another_key_is_told(
    chain: Audit, state: State, clock: FakeClock, tmp_path: Path
) -> None:
    with state.write() as connection:
        connection.execute(delete(table))
    for name in ("audit.anchor", "audit.head"):
        (tmp_path / name).unlink()
    forged = Audit(state, clock, Anchor(tmp_path, signer_in(tmp_path / "others")))
    for number in range(3):
        forged.record("ben", "run.started", f"r{number}", {})
    assert forged.verify().verdict == "whole"
    assert chain.verify().verdict == "meddled"


def test_an_entry_put_at_the_end_past_the_daemon_is_told(
    chain: Audit, state: State, clock: FakeClock
) -> None:
    Audit(state, clock).record("eve", "plan.approve", "shippyar", {})
    assert chain.verify().problems == ("entry 4 is not the one that was written",)


def test_half_a_line_of_a_crash_is_no_problem_and_takes_no_other_with_it(
    chain: Audit, tmp_path: Path
) -> None:
    with (tmp_path / "audit.anchor").open("ab") as file:
        file.write(b"4 abc")
    chain.record("ana", "run.finished", "r3", {})
    report = chain.verify()
    assert (report.verdict, report.anchored, report.entries) == ("whole", 4, 4)


def test_a_crash_before_the_commit_is_no_problem(chain: Audit, tmp_path: Path) -> None:
    anchor_in(tmp_path).announce(4, "a" * 64)
    assert chain.verify().verdict == "whole"
    chain.record("ana", "run.finished", "r3", {})
    assert chain.verify().verdict == "whole"


def test_entries_are_listed_from_a_number_on(chain: Audit) -> None:
    assert [entry.seq for entry in chain.entries(since=1)] == [2, 3]
    assert [entry.subject for entry in chain.entries(limit=1)] == ["r0"]
    assert chain.entries()[0].document()["detail"] == {"number": 0}
