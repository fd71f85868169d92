"""What words on a plan are worth, and the book that they stand in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shippyard.config.migration import Migration
from shippyard.migration.approvals.book import ApprovalRefused, Book, Subject
from shippyard.migration.approvals.model import Approval, standing
from shippyard.migration.audit import Audit
from shippyard.migration.order import Requester
from shippyard.state.database import State
from tests.conftest import FakeClock

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HASH = "a" * 64
ANA, BEN, CLEO = 1001, 1002, 1003
POLICY = Migration(alembic_ini=Path("alembic.ini"), approvals=1)
SUBJECT = Subject("shippyar", HASH, "c" * 64)


def word(number: int, kind: Any, uid: int, **more: Any) -> Approval:
    said = Approval(
        number,
        NOW,
        "shippyar",
        kind,
        HASH,
        "c" * 64,
        uid,
        f"user{uid}",
        "",
        (),
        NOW + timedelta(hours=1),
        None,
    )
    return replace(said, **more)


ASKED = word(1, "request", ANA)
YES = word(2, "approve", BEN)


@pytest.mark.parametrize(
    ("words", "granted"),
    [
        ([ASKED], False),
        ([ASKED, YES], True),
        ([YES], True),
        ([ASKED, word(2, "approve", ANA)], False),
        ([ASKED, word(2, "approve", CLEO)], False),
        ([ASKED, word(2, "approve", 0)], False),
        ([ASKED, word(2, "approve", 65534)], False),
        ([ASKED, replace(YES, expires_at=NOW)], False),
        ([ASKED, replace(YES, plan_hash="b" * 64)], False),
        ([ASKED, replace(YES, spent_by="run")], False),
        ([ASKED, YES, word(3, "reject", BEN)], False),
        ([ASKED, YES, word(3, "reject", BEN), word(4, "request", ANA)], False),
        ([ASKED, word(3, "reject", BEN), word(4, "request", ANA), replace(YES, id=5)], True),
        ([ASKED, word(2, "emergency", BEN)], True),
    ],
)
def test_whose_yes_counts_when_cleo_runs_it(*, words: list[Approval], granted: bool) -> None:
    found = standing(words, HASH, CLEO, NOW, needed=1)
    assert found.granted is granted
    assert (found.missing == 0) is granted


def test_one_person_counts_once_and_two_may_be_needed() -> None:
    twice = [ASKED, YES, replace(YES, id=3)]
    assert standing(twice, HASH, ANA, NOW, needed=2).missing == 1
    both = standing([*twice, word(4, "approve", CLEO)], HASH, ANA, NOW, needed=2)
    assert (both.granted, both.by) == (True, ("user1002", "user1003"))


def test_overrides_and_emergencies_are_those_of_yeses_that_count() -> None:
    over = replace(YES, overrides=("hazards",))
    assert standing([ASKED, over], HASH, ANA, NOW, 1).overrides == {"hazards"}
    assert standing([ASKED, over], HASH, BEN, NOW, 1).overrides == frozenset()
    urgent = word(2, "emergency", BEN)
    assert standing([ASKED, urgent], HASH, ANA, NOW, 1).emergency
    assert not standing([ASKED, urgent], HASH, BEN, NOW, 1).emergency
    assert not standing([ASKED, urgent, word(3, "reject", CLEO)], HASH, ANA, NOW, 1).emergency


@pytest.fixture
def book(state: State, clock: FakeClock) -> Book:
    return Book(state, clock, Audit(state, clock))


def test_a_plan_is_asked_for_approved_and_used_up(book: Book, state: State) -> None:
    ana, ben = Requester(ANA, "ana"), Requester(BEN, "ben")
    book.ask(SUBJECT, ana, "tier for billing", POLICY)
    assert book.subject_of(HASH[:12]) == SUBJECT
    book.approve(SUBJECT, ben, "", POLICY)
    assert book.standing("shippyar", HASH, ANA, 1).granted
    assert not book.standing("other", HASH, ANA, 1).granted
    book.spend("shippyar", HASH, "run-1")
    assert not book.standing("shippyar", HASH, ANA, 1).granted
    assert book.open_requests() == []
    assert [each.spent_by for each in book.words("shippyar")] == ["run-1", "run-1"]
    report = Audit(state, FakeClock()).verify()
    assert (report.entries, report.problems) == (2, ())


def test_who_asked_may_not_approve_and_nobody_is_nobody(book: Book) -> None:
    ana = Requester(ANA, "ana")
    book.ask(SUBJECT, ana, "", POLICY)
    with pytest.raises(ApprovalRefused, match="another person must approve it"):
        book.approve(SUBJECT, ana, "", POLICY)
    for uid in (0, 65534):
        with pytest.raises(ApprovalRefused, match="could be anybody"):
            book.approve(SUBJECT, Requester(uid, "root"), "", POLICY)
        with pytest.raises(ApprovalRefused, match="could be anybody"):
            book.ask(SUBJECT, Requester(uid, "root"), "", POLICY)
    assert [each.kind for each in book.words()] == ["request"]


def test_an_override_and_an_emergency_need_a_reason(book: Book) -> None:
    ben = Requester(BEN, "ben")
    with pytest.raises(ApprovalRefused, match="--reason"):
        book.approve(SUBJECT, ben, "short", POLICY, overrides=["hazards"])
    with pytest.raises(ApprovalRefused, match="--reason"):
        book.approve(SUBJECT, ben, "   ", POLICY, emergency=True)
    made = book.approve(SUBJECT, ben, "the site is down", POLICY, emergency=True)
    assert made.kind == "emergency"


def test_a_plan_is_named_by_the_beginning_of_its_hash(book: Book, clock: FakeClock) -> None:
    ana = Requester(ANA, "ana")
    for last in "bc":
        book.ask(replace(SUBJECT, plan_hash=HASH[:-1] + last), ana, "", POLICY)
    with pytest.raises(ApprovalRefused, match="begins several"):
        book.subject_of(HASH[:12])
    with pytest.raises(ApprovalRefused, match="12 characters"):
        book.subject_of("aaaa")
    with pytest.raises(ApprovalRefused, match="nobody asked"):
        book.subject_of("b" * 12)
    assert book.subject_of(HASH[:-1] + "b").plan_hash.endswith("b")
    clock.advance(POLICY.approval_max_age_s)
    with pytest.raises(ApprovalRefused, match="nobody asked"):
        book.subject_of(HASH[:-1] + "b")
