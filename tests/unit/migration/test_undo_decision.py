"""A run goes back by its downgrades only where that is proven and nothing new would be lost."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shippyard.migration.integrity import Integrity
from shippyard.migration.journal import Run
from shippyard.migration.plan import Plan, Rendered, Revision
from shippyard.migration.rehearsal.report import Passage, Recorded, Report
from shippyard.migration.said import say
from shippyard.migration.spec import Guard, Step
from shippyard.migration.undo import (
    NowFacts,
    UndoVerdict,
    may_roll_back,
    should_roll_back,
    steps_back,
)
from shippyard.migration.undo_guard import CannotTell, Column, guards_of
from shippyard.migration.wrote import Wrote

NOW = datetime(2026, 3, 4, tzinfo=UTC)
RUN = Run(
    "r1", "shop", "001", "002", "done", "ana", "hash", None, "up", None, "b1", NOW, NOW, None, {}
)
REPORT = Report(
    "h1", "shop", "hash", "001", "002", "f", "s", "b1", "t", NOW, NOW, "passed", None,
    (Passage("up", Recorded()), Passage("down", Recorded()), Passage("again", Recorded())),
    (), (), (), {}, 0, (), {},
)  # fmt: skip
FACTS = NowFacts("002", (Step("002", "001"),), ())
TABLES = {("public", "people"): {"id": Column(None, generated=False)}}
TABLES["public", "people"]["tier"] = Column("'free'::text", generated=False)
TABLES["public", "people"]["sum"] = Column(None, generated=True)


def test_proven_and_nothing_new() -> None:
    assert may_roll_back(RUN, REPORT, FACTS).allowed


@pytest.mark.parametrize(
    ("run", "report", "facts", "why"),
    [
        ({}, None, {}, "no rehearsal"),
        ({}, {"content_hash": "other"}, {}, "no rehearsal"),
        ({}, {"losses": ("people.tier: 3 values",)}, {}, "people.tier: 3 values"),
        ({}, {"schema_differences": ("- index x",)}, {}, "- index x"),
        ({}, {"outcome": "failed", "error": "boom"}, {}, "boom"),
        ({"way": "down"}, {}, {}, "a way back itself"),
        ({"state": "running"}, {}, {}, "it is running"),
        ({}, {}, {"steps": (), "at": "009"}, "the database is at 009"),
        ({}, {}, {"half_applied": "002"}, "migrate resume r1"),
        ({}, {}, {"lost": ("people.tier has values",)}, "people.tier has values"),
        ({}, {}, {"lost": None, "unknown": "no answer"}, "no answer"),
    ],
)
def test_why_not(run: Any, report: Any, facts: Any, why: str) -> None:
    given = None if report is None else replace(REPORT, **report)
    verdict = may_roll_back(replace(RUN, **run), given, replace(FACTS, **facts))
    assert not verdict.allowed
    assert why in verdict.why
    assert [each.kind for each in verdict.next_best] == ["fix_forward", "restore"]
    assert "--backup b1" in verdict.next_best[1].command


def test_without_a_backup_only_forward_is_left() -> None:
    verdict = may_roll_back(replace(RUN, backup_id=None), None, FACTS)
    assert [each.kind for each in verdict.next_best] == ["fix_forward"]


@pytest.mark.parametrize(
    ("found", "allowed", "policy", "back"),
    [
        ("damaged", True, True, True),
        ("damaged", True, False, False),
        ("damaged", False, True, False),
        ("unknown", True, True, False),
        ("ok", True, True, False),
    ],
)
def test_by_itself_only_after_damage(found: Any, allowed: Any, policy: Any, back: Any) -> None:
    verdict = UndoVerdict(allowed, "")
    assert should_roll_back(Integrity(found), verdict, when_damaged=policy) is back


def test_steps_back_are_those_that_were_taken() -> None:
    made = tuple(
        Revision(name, (down,) if down else (), (), "f", "", reversible=True)
        for name, down in (("001", None), ("002", "001"), ("003", "002"))
    )
    plan = Plan("shop", None, "003", ("003",), made, {}, {"001": Rendered("")})
    assert steps_back(plan, "002") == (Step("002", "001"), Step("001", None))
    assert steps_back(plan, "elsewhere") == ()


def guards(back: str, forth: str = "", wrote: Wrote | None = None) -> tuple[Guard, ...]:
    return guards_of(say(back), say(forth), TABLES, wrote)


def test_a_dropped_column_is_asked_for_values_that_nobody_can_make_again() -> None:
    (guard,) = guards(
        "ALTER TABLE people DROP COLUMN tier",
        "ALTER TABLE people ADD tier text; UPDATE people SET tier = lower(name)",
        Wrote(("77",)),
    )
    assert guard.table == '"public"."people"'
    for part in ("'free'::text", "lower(name)", "age(xmin) < age('77'::xid)"):
        assert part in guard.question


@pytest.mark.parametrize(
    ("back", "count"),
    [
        ("ALTER TABLE people DROP COLUMN sum", 0),
        ("DROP INDEX people_name; ALTER TABLE people DROP CONSTRAINT c", 0),
        ("DROP TABLE people", 1),
        ("DELETE FROM people", 1),
        ("ALTER TABLE people ALTER COLUMN tier TYPE varchar(5)", 1),
        ("UPDATE people SET tier = 'x'", 1),
        ("UPDATE people SET tier = o.x FROM others AS o", 1),
        ("UPDATE alembic_version SET version_num = '001'", 0),
        ("SELECT 1", 0),
    ],
)
def test_what_goes_with_a_statement(back: str, count: int) -> None:
    assert len(guards(back)) == count


@pytest.mark.parametrize(
    "back",
    ["DO $$ BEGIN END $$", "SELECT meddle()", "DROP TABLE nowhere", "ALTER TABLE people DROP x"],
)
def test_what_can_not_be_told(back: str) -> None:
    with pytest.raises(CannotTell):
        guards(back)
