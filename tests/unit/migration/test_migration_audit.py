"""The audit chain: every kind of meddling is found."""

import pytest
from sqlalchemy import text

from shippyard.migration.audit import GENESIS, Audit
from shippyard.state.database import State
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
