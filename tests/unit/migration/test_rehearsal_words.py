"""What a rehearsal makes of what it saw: losses, kinds, slower statements, and what is shown."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shippyard.migration.rehearsal.brief import brief
from shippyard.migration.rehearsal.classify import classify
from shippyard.migration.rehearsal.compare import gone, losses, unproven
from shippyard.migration.rehearsal.course import Course, Stopped
from shippyard.migration.rehearsal.data import ColumnTaken, DataTaken, TableTaken
from shippyard.migration.rehearsal.markdown import LINES_MAX, as_markdown
from shippyard.migration.rehearsal.report import (
    Blocked,
    LockHeld,
    Passage,
    Recorded,
    Report,
    Statement,
)
from shippyard.migration.rehearsal.statements import Asked, Timed, slower
from tests.conftest import FakeClock

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def data(rows: int = 10, **columns: tuple[int, str]) -> DataTaken:
    taken = {name: ColumnTaken(values, checksum) for name, (values, checksum) in columns.items()}
    return DataTaken({"public.users": TableTaken(rows, taken)}, {})


BEFORE = data(name=(10, "1"), nick=(4, "2"))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (BEFORE, ()),
        (data(7, name=(7, "5"), nick=(4, "2")), ("public.users: 3 rows are gone",)),
        (data(11, name=(11, "9"), nick=(4, "2")), ("public.users: 1 rows more than before",)),
        (
            data(name=(10, "1"), nick=(0, "0")),
            ("public.users.nick: 4 values did not come back",),
        ),
        (data(name=(10, "1")), ("public.users.nick: the column is gone with 4 values",)),
        (
            data(name=(10, "1"), nick=(6, "3")),
            ("public.users.nick: 2 values where there were none",),
        ),
        (
            data(name=(10, "x"), nick=(4, "2")),
            ("public.users.name: its values are not as before",),
        ),
        (DataTaken({}, {}), ("public.users: the table is gone with 10 rows",)),
        (DataTaken({}, {}, ("public.users",)), ()),
    ],
)
def test_each_loss_has_its_line(after: DataTaken, said: tuple[str, ...]) -> None:
    assert losses(BEFORE, after) == said


def test_a_sequence_may_go_on_and_not_back() -> None:
    was = DataTaken({}, {"public.ids": 20, "public.new": None})
    assert losses(was, DataTaken({}, {"public.ids": 25, "public.new": 3})) == ()
    back = DataTaken({}, {"public.ids": 3, "public.new": None})
    assert gone(was, back) == ("public.ids: the sequence went back from 20 to 3",)
    begun = DataTaken({}, {"public.ids": None})
    assert gone(was, begun) == ("public.ids: the sequence went back from 20 to its beginning",)


def test_what_was_not_read_is_not_proven() -> None:
    assert unproven(BEFORE, BEFORE) == ()
    (line,) = unproven(BEFORE, DataTaken({}, {}, ("public.users",)))
    assert "public.users" in line


USERS = {"table public.users": "", "column public.users.id": "integer NOT NULL"}


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        (USERS, ()),
        ({**USERS, "column public.users.nick": "text"}, ("expand",)),
        ({**USERS, "column public.users.nick": "text NOT NULL"}, ("expand", "breaking")),
        ({**USERS, "column public.users.nick": "text NOT NULL DEFAULT ''"}, ("expand",)),
        ({**USERS, "constraint public.users.c": "CHECK (id > 0)"}, ("expand", "contract")),
        ({**USERS, "table public.b": "", "column public.b.id": "int NOT NULL"}, ("expand",)),
        ({"table public.users": ""}, ("contract", "breaking")),
        ({**USERS, "column public.users.id": "bigint NOT NULL"}, ("breaking",)),
        ({**USERS, "column public.users.id": "integer"}, ()),
    ],
)
def test_kinds_by_schema(after: dict[str, str], kinds: tuple[str, ...]) -> None:
    assert classify(USERS, after, (), comes_back=True) == kinds


def test_kinds_by_data_and_way_back() -> None:
    lost = classify(USERS, {"table public.users": ""}, ("10 rows are gone",), comes_back=False)
    assert lost == ("contract", "data_losing", "breaking", "irreversible")
    stricter = {"column public.a.b": "text NOT NULL"}
    assert classify({"column public.a.b": "text"}, stricter, (), comes_back=True) == (
        "contract",
        "breaking",
    )


ASKED = Asked("SELECT  1\nFROM users", "application", 12000, 1.0)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (Timed(10, 4.0), Timed(10, 4.5), None),
        (Timed(10, 4.0), Timed(10, 40.0), "40 ms, not 4"),
        (Timed(10, 0.5), Timed(10, 4.0), None),
        (Timed(600), Timed(1300), "planned to cost 1300, not 600"),
        (Timed(600), Timed(1300, None, frozenset({"users"})), "reads users whole"),
        (Timed(3), Timed(9), None),
        (Timed(3), Timed(error="column x does not exist"), "runs no more: column x does not"),
        (Timed(error="no such table"), Timed(error="no such table"), None),
        (Timed(error="no such table"), Timed(9000), None),
    ],
)
def test_a_statement_is_slower_by_half_and_noticeably(
    was: Timed, now: Timed, said: str | None
) -> None:
    found = slower({ASKED: was}, {ASKED: now})
    if said is None:
        assert found == ()
    else:
        (line,) = found
        assert line.startswith("SELECT 1 FROM users (12,000 calls): ")
        assert said in line


UP = Passage(
    "up",
    Recorded(
        locks=(
            LockHeld("AccessShareLock", "public.users", 3.0, "002"),
            *(LockHeld("AccessExclusiveLock", f"public.t{n}", float(n), "002") for n in range(90)),
        ),
        blocked=(Blocked("public.users", 12.0, 15.0),),
        rewrites=("public.users",),
        scans=tuple(f"public.t{n}" for n in range(30)),
        statements=tuple(Statement(f"SELECT {n}", float(n), 0) for n in range(80)),
        wal_bytes=5_000_000,
    ),
    ("expand",),
)
REPORT = Report(
    id="r1",
    database="shop",
    content_hash="c" * 64,
    from_revision="001",
    to_revision="002",
    fingerprint="f",
    system_identifier="7",
    backup_id="b1",
    tools="alembic 1",
    started_at=NOW,
    finished_at=NOW + timedelta(seconds=42),
    outcome="passed",
    error=None,
    passages=(UP, replace(UP, way="down"), replace(UP, way="again")),
    schema_differences=tuple(f"- index public.i{n}: a | b `c`" for n in range(40)),
    losses=("public.users.nick: 4 values did not come back",),
    slower=("SELECT 1: 40 ms, not 4",),
    revision_elapsed_s={"002": 1.5},
    size_bytes=1_000_000_000,
    differs=(),
    phases={"up": 1.0},
)


def test_a_summary_fits_a_pull_request() -> None:
    text = as_markdown(REPORT)
    assert len(text.splitlines()) <= LINES_MAX
    for said in (
        "shop `001` → `002`: passed",
        "**is not proven to come back**",
        "| AccessExclusiveLock | public.t89 | 89 ms | 002 |",
        "and 82 more",
        "| public.users | 12 ms | 15 ms |",
        "a \\| b 'c'",
        "public.users.nick: 4 values",
        "40 ms, not 4",
        "content `cccccccccccc`",
    ):
        assert said in text
    assert "AccessShareLock" not in text


def test_a_summary_of_one_that_could_not_be_tried() -> None:
    blocked = replace(REPORT, outcome="blocked", passages=(), error="no | backup", backup_id="")
    text = as_markdown(blocked)
    assert "blocked" in text
    assert "> no \\| backup" in text
    assert "It went up" not in text


def test_a_brief_has_the_worst_and_says_what_it_leaves_out() -> None:
    shown = brief(REPORT)
    up = shown["passages"][0]["recorded"]
    assert up["locks"][0]["held_ms"] == 89.0
    assert up["statements"][0]["elapsed_ms"] == 79.0
    assert shown["left_out"] == 3 * (91 - 40 + 80 - 15 + 30 - 20) + 40 - 20
    assert shown["elapsed_s"] == 42.0
    assert len(str(shown)) < 60_000


def test_a_report_survives_json_and_binds_what_it_found() -> None:
    assert Report.from_document(REPORT.document()) == REPORT
    later = replace(REPORT, id="r2", finished_at=NOW + timedelta(seconds=99))
    assert later.report_hash == REPORT.report_hash
    assert replace(REPORT, losses=()).report_hash != REPORT.report_hash


def test_it_comes_back_only_when_all_of_it_is_proven() -> None:
    whole = replace(REPORT, schema_differences=(), losses=())
    assert whole.comes_back
    assert not replace(whole, unproven=("public.users",)).comes_back
    assert not replace(whole, passages=whole.passages[:2]).comes_back
    failed = replace(UP, way="again", error="it is there already")
    assert not replace(whole, passages=(*whole.passages[:2], failed)).comes_back
    assert not replace(whole, outcome="failed").comes_back


def test_a_course_says_what_is_left_and_ends_in_time() -> None:
    clock = FakeClock()
    told: list[Mapping[str, Any]] = []
    course = Course(told.append, clock, {"up": 30.0, "down": 20.0, "look": 5.0}, 100.0)
    course.begin({"restore": 7.0}, lambda: None)
    with course.phase("look", "looking"):
        clock.advance(4)
    with course.phase("up", "going up"):
        assert told[-1] == {"phase": "rehearse up", "message": "going up, about 50 s to go"}
        assert course.left_s == 96.0
        clock.advance(97)
    assert course.phases == {"restore": 7.0, "look": 4.0, "up": 97.0}
    with pytest.raises(Stopped, match="rehearsal_timeout_s = 100 s"):
        course.check()


def test_a_course_stops_when_its_sandbox_must() -> None:
    course = Course(lambda _: None, FakeClock(), {}, 100.0)
    course.begin({}, lambda: "the daemon is stopping")
    with pytest.raises(Stopped, match="the daemon is stopping"):
        course.check()
