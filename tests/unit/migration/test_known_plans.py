"""What is known of a plan beside itself is found once for each content, and kept within a bound."""

from pathlib import Path

import pytest

from shippyard.config.migration import Migration
from shippyard.migration import known
from shippyard.migration.facts import ServerFacts
from shippyard.migration.plan import Plan
from shippyard.migration.planner import Look, Prepared
from shippyard.migration.rehearsal.report import Report
from shippyard.migration.tree import Tree
from shippyard.postgres.target import Target


class NothingRehearsed:
    def newest(self, database: str, content_hash: str) -> Report | None:
        del database, content_hash
        return None


def prepared(target: str) -> Prepared:
    plan = Plan("shop", "001", target, (target,), (), {}, {})
    seen = Look("001", ServerFacts(False, ()), 150_000, "f", "7")
    tree = Tree("alembic.ini", "migrations", {})
    reached = Target("/run", 5432, "shop", "mover")
    return Prepared(plan, reached, Migration(alembic_ini=Path("x")), tree, Path("copy"), seen)


def test_the_same_content_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def find(plan: Plan, _: object) -> tuple[()]:
        read.append(plan.target)
        return ()

    monkeypatch.setattr(known, "find_hazards", find)
    monkeypatch.setattr(known, "_seen_before", {})
    for target in ("002", "002", "003", "002"):
        known.what_is_known(prepared(target), NothingRehearsed(), lambda found, _: found)
    assert read == ["002", "003"]
    for number in range(known.CONTENTS_KEPT):
        known.what_is_known(prepared(f"1{number}"), NothingRehearsed(), lambda found, _: found)
    known.what_is_known(prepared("002"), NothingRehearsed(), lambda found, _: found)
    assert read[-1] == "002"
    assert len(known._seen_before) == known.CONTENTS_KEPT
