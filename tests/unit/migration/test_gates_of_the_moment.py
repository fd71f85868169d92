"""Gates that look at the calendar, the server, its disk and other environments."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shippyard.config.calendar import Calendar, Day, Freeze, Use, Window
from shippyard.migration.facts import Attested
from shippyard.migration.hazards.model import Hazard
from shippyard.migration.plan import Plan, Rendered
from shippyard.migration.rehearsal.report import LockHeld, Passage, Recorded, Report, Statement
from shippyard.migration.touches import Touches, touches
from tests.unit.migration.gate_facts import (
    FACTS,
    NOW,
    PLAN,
    POLICY,
    REHEARSED,
    UP,
    Live,
    verdict_of,
)

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
DROPS = Hazard("H32", "block", "002", "versions/002_a.py", 7, "up", "ALTER …", "why", "instead")


def window(name: str, opens: str, closes: str, *uses: Use, days: tuple[Day, ...] = ()) -> Window:
    given: dict[str, Any] = {"name": name, "from": opens, "to": closes}
    return Window(**given | ({"for": uses} if uses else {}) | ({"days": days} if days else {}))


BREAKING = replace(UP, kinds=("breaking",))
NIGHTLY = Calendar(windows=(window("night", "22:00", "02:00"),))
BUSY = Calendar(windows=(window("day", "11:00", "12:30"),))
SATURDAYS = Calendar(
    windows=(
        window("day", "11:00", "13:00"),
        window("sat", "12:00", "14:00", "breaking", days=("sat",)),
    )
)
NEVER = Calendar(
    windows=(window("am", "08:00", "09:00"), window("pm", "20:00", "21:00", "breaking"))
)
XMAS = Calendar(
    freezes=(
        Freeze(
            **{"name": "sale", "from": date(2026, 11, 23), "to": date(2026, 11, 27)},
            reason="the week of the sale",
        ),
    )
)


def at_noon(calendar: Calendar, **more: Any) -> dict[str, Any]:
    """Monday noon, UTC."""
    return {"now": MONDAY, "calendar": calendar, **more}


def measured(growth_bytes: int, **more: Any) -> Report:
    """A rehearsal that took so much disk, half of it WAL."""
    half = growth_bytes // 2
    up = Passage("up", Recorded(wal_bytes=half, growth_bytes=growth_bytes - half))
    return replace(REHEARSED, passages=(up, *REHEARSED.passages[1:]), **more)


def planned(sql: str, unrendered: str | None = None) -> Plan:
    return replace(PLAN, rendered={"002": Rendered(sql, unrendered)})


def saw(recorded: Recorded) -> Report:
    return replace(REHEARSED, passages=(Passage("up", recorded), *REHEARSED.passages[1:]))


ALTERS = planned("ALTER TABLE parcels ADD COLUMN note text")
DARK = planned("", "op.get_bind() is read")
LOCKED = saw(Recorded(locks=(LockHeld("AccessExclusiveLock", "public.parcels", 1.0),)))
READ = saw(Recorded(locks=(LockHeld("AccessShareLock", "public.parcels", 1.0),)))
WELL = Attested(
    PLAN.content_hash, "staging", NOW - timedelta(days=1), NOW + timedelta(days=9), "key"
)


def asked(*attested: Attested, **policy: Any) -> dict[str, Any]:
    """Facts where policy knows whose word counts."""
    trusting = POLICY.model_copy(update={"staging_keys": ("key",), **policy})
    return {"policy": trusting, "attested": attested}


UNPOLLED = {"live": None}


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("windows", at_noon(Calendar()), "pass", "at any time"),
    ("windows", at_noon(NIGHTLY), "block", "migration is open; it opens at 2026-11-23 22:00"),
    ("windows", at_noon(BUSY), "pass", "open until 2026-11-23 12:30 UTC"),
    (
        "windows",
        at_noon(BUSY, rehearsal=replace(REHEARSED, revision_elapsed_s={"002": 1801.0})),
        "warn",
        "took 1801 s, and it closes at 2026-11-23 12:30",
    ),
    (
        "windows",
        at_noon(XMAS),
        "block",
        "freeze sale: the week of the sale; it opens at 2026-11-28 00:00 UTC",
    ),
    ("windows", at_noon(SATURDAYS), "pass", "open until 2026-11-23 13:00"),
    (
        "windows",
        at_noon(SATURDAYS, hazards=(DROPS,)),
        "block",
        "no window for breaking is open; it opens at 2026-11-28 12:00 UTC",
    ),
    ("windows", at_noon(SATURDAYS, hazards=(replace(DROPS, way="down"),)), "pass", "open"),
    (
        "windows",
        at_noon(
            SATURDAYS,
            rehearsal=replace(REHEARSED, passages=(replace(UP, kinds=("breaking",)),)),
        ),
        "block",
        "no window for breaking",
    ),
    ("windows", at_noon(NEVER, hazards=(DROPS,)), "block", "none is in sight"),
    ("backup_running", {"reader": "backup b7"}, "block", "b7 reads the whole database; wait"),
    ("backup_running", {"reader_known": False}, "unknown", "can't be asked"),
    ("old_snapshots", UNPOLLED, "unknown", "not looked at lately"),
    ("old_snapshots", {"live": Live(oldest_snapshot_s=None)}, "unknown", "not looked at"),
    ("old_snapshots", {"live": Live(oldest_snapshot_s=60)}, "pass", "no snapshot is old"),
    ("old_snapshots", {"live": Live(oldest_snapshot_s=61)}, "block", "CONCURRENTLY waits"),
    (
        "old_snapshots",
        {"live": Live(oldest_snapshot_s=61), "plan": ALTERS},
        "warn",
        "61 s old (limit 60 s)",
    ),
    ("old_snapshots", {"live": Live(oldest_snapshot_s=61), "plan": DARK}, "block", "waits"),
    ("prepared_transactions", UNPOLLED, "unknown", "not looked at lately"),
    ("prepared_transactions", {"live": Live(oldest_prepared_s=60)}, "pass", "forgotten"),
    ("prepared_transactions", {"live": Live(oldest_prepared_s=61)}, "block", "keeps its locks"),
    ("wraparound", UNPOLLED, "unknown", "not looked at lately"),
    (
        "wraparound",
        {"live": Live(freeze_vacuums=("public.parcels",))},
        "block",
        "public.parcels is vacuumed to prevent wraparound",
    ),
    ("wraparound", {"live": Live(freeze_vacuums=("public.other",))}, "pass", "no table"),
    ("wraparound", {"live": Live(freeze_vacuums=("app.parcels",))}, "pass", "no table"),
    (
        "wraparound",
        {"live": Live(freeze_vacuums=("public.parcels",)), "plan": DARK},
        "unknown",
        "does the plan change it",
    ),
    (
        "wraparound",
        {"live": Live(freeze_vacuums=("public.parcels",)), "plan": DARK, "rehearsal": LOCKED},
        "block",
        "public.parcels",
    ),
    (
        "wraparound",
        {"live": Live(freeze_vacuums=("public.parcels",)), "plan": DARK, "rehearsal": READ},
        "pass",
        "no table",
    ),
    ("autovacuum", UNPOLLED, "unknown", "not looked at lately"),
    ("autovacuum", {"live": Live(autovacuums={"public.parcels": 60.0})}, "pass", "for long"),
    ("autovacuum", {"live": Live(autovacuums={"public.other": 61.0})}, "pass", "for long"),
    (
        "autovacuum",
        {"live": Live(autovacuums={"public.parcels": 61.0})},
        "warn",
        "worked on public.parcels for 61 s, and does not give way to a lock_timeout of 200 ms",
    ),
    ("autovacuum", {"live": Live(autovacuums={"a.b": 61.0}), "plan": DARK}, "warn", "a.b"),
    (
        "autovacuum",
        {
            "live": Live(autovacuums={"public.parcels": 61.0}),
            "policy": POLICY.model_copy(update={"lock_timeout_ms": 1001}),
        },
        "pass",
        "gives way",
    ),
    ("wal_archive", UNPOLLED, "unknown", "not looked at lately"),
    ("wal_archive", {"live": Live(archive_failing=None)}, "unknown", "pg_monitor"),
    ("wal_archive", {"live": Live(archive_waiting_s=None)}, "unknown", "pg_monitor"),
    ("wal_archive", {"live": Live(archive_failing=True)}, "block", "can't be archived"),
    ("wal_archive", {"live": Live(archive_waiting_s=901)}, "block", "901 s to be archived"),
    ("wal_archive", {"live": Live(archive_waiting_s=900)}, "warn", "900 s to be archived"),
    ("wal_archive", {"live": Live(archive_waiting_s=120)}, "pass", "leaves the server"),
    ("wal_archive", {"live": Live(idle_slots=("a", "b"))}, "warn", "a, b: nobody receives"),
    ("wal_archive", {"live": Live(idle_slots=None)}, "warn", "not looked at"),
    ("disk", {"live": None, "rehearsal": measured(2**20)}, "unknown", "whether 2 MiB are free"),
    (
        "disk",
        {"live": Live(disk_free_bytes=None), "rehearsal": measured(2**20)},
        "unknown",
        "can't be seen from here",
    ),
    ("disk", {"rehearsal": measured(2**29)}, "pass", "1024 MiB free, 2 times"),
    (
        "disk",
        {"rehearsal": measured(2**29 + 2**20)},
        "block",
        "1024 MiB free, 1026 needed (2 times what the rehearsal took); make room",
    ),
    ("disk", {}, "pass", "no rehearsal measured"),
    ("disk", {"policy": POLICY.model_copy(update={"rehearsal": True})}, "unknown", "measured"),
    ("indexes", {"plan": ALTERS, **UNPOLLED}, "pass", "no index is added"),
    ("indexes", UNPOLLED, "unknown", "indexes of parcels were not looked at"),
    ("indexes", {"live": Live(spare_indexes=None)}, "unknown", "not looked at"),
    (
        "indexes",
        {"live": Live(spare_indexes={"public.parcels": ("public.old (unused)",)})},
        "warn",
        "public.parcels has public.old (unused); drop what nobody needs",
    ),
    ("indexes", {"live": Live(spare_indexes={"public.x": ("y",)})}, "pass", "none to spare"),
    ("staging_first", {}, "pass", "none is asked for"),
    ("staging_first", {**asked(), "attested": None}, "unknown", "can't be read"),
    ("staging_first", asked(), "block", "this content ran nowhere else"),
    ("staging_first", asked(replace(WELL, content_hash="x")), "block", "ran nowhere else"),
    ("staging_first", asked(replace(WELL, environment="production")), "block", "nowhere else"),
    ("staging_first", asked(replace(WELL, expires_at=NOW)), "block", "too old"),
    ("staging_first", asked(WELL, staging_max_age_s=86400.0), "block", "too old"),
    ("staging_first", asked(WELL, staging_max_age_s=86401.0), "pass", "it ran in staging at"),
    (
        "staging_first",
        asked(replace(WELL, expires_at=NOW), WELL),
        "pass",
        "it ran in staging at",
    ),
]


@pytest.mark.parametrize(("gate", "changes", "answer", "said"), CASES)
def test_a_gate_answers(gate: str, changes: dict[str, Any], answer: str, said: str) -> None:
    verdict = verdict_of(gate, **changes)
    assert (verdict.verdict, said in verdict.summary) == (answer, True), verdict.summary
    assert "\n" not in verdict.summary
    assert verdict.document()["gate"] == gate


def test_a_pass_says_until_when_it_holds() -> None:
    assert verdict_of("windows", **at_noon(BUSY)).expires_at == MONDAY + timedelta(minutes=30)
    soon = replace(WELL, expires_at=NOW + timedelta(minutes=1))
    assert verdict_of("staging_first", **asked(soon)).expires_at == soon.expires_at


def seen(sql: str, report: Report | None = None, unrendered: str | None = None) -> Touches:
    return touches(planned(sql, unrendered), report)


@pytest.mark.parametrize(
    ("sql", "tables", "indexed"),
    [
        ("ALTER TABLE public.a ADD COLUMN x int REFERENCES b (id)", {"a", "b"}, set()),
        ('CREATE INDEX CONCURRENTLY i ON app."Big" (x)', {"app.Big"}, {"app.Big"}),
        ("ALTER TABLE a ADD CONSTRAINT u UNIQUE (x)", {"a"}, {"a"}),
        ("ALTER TABLE a ADD CONSTRAINT u UNIQUE USING INDEX i", {"a"}, set()),
        ("DROP TABLE a, s.b", {"a", "s.b"}, set()),
        ("UPDATE a SET x = 1; DELETE FROM b; CREATE VIEW v AS SELECT * FROM c", set(), set()),
        ("TRUNCATE a; ALTER TABLE b RENAME TO c", {"a", "b"}, set()),
    ],
)
def test_tables_and_indexes_are_read_from_the_text(
    sql: str, tables: set[str], indexed: set[str]
) -> None:
    found = seen(sql)
    assert (set(found.tables), set(found.indexed), found.unknown) == (tables, indexed, False)


@pytest.mark.parametrize(
    ("sql", "waits"),
    [
        ("CREATE INDEX CONCURRENTLY i ON a (x)", True),
        ("drop index concurrently i", True),
        ("REINDEX INDEX CONCURRENTLY i", True),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", True),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", False),
        ("CREATE INDEX i ON a (x)", False),
    ],
)
def test_what_waits_for_every_snapshot_is_known(sql: str, *, waits: bool) -> None:
    assert seen(sql).waits_for_snapshots is waits


def test_what_only_runs_can_tell_is_unknown_until_it_was_rehearsed() -> None:
    assert seen("", None, "reads rows").unknown
    assert seen("DO $$ BEGIN PERFORM 1; END $$").unknown
    built = Recorded(statements=(Statement("CREATE INDEX CONCURRENTLY i ON a (x)", 1.0, 0),))
    assert not seen("", LOCKED, "reads rows").unknown
    assert not seen("", LOCKED, "reads rows").waits_for_snapshots
    assert seen("", saw(built), "reads rows").waits_for_snapshots


def test_facts_read_the_plan_once() -> None:
    assert FACTS.touches is FACTS.touches
