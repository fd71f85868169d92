"""A schema that is not as the last run left it: found, told, blocked where it counts, accepted."""

from typing import Any

import pytest

from shippyard.migration.drift import DriftUnknown
from shippyard.migration.execution import Blocked

TABLE = "op.execute('CREATE TABLE parcels (id bigint PRIMARY KEY, weight int)')"


def test_nothing_is_expected_before_a_run_and_all_is_well_after_one(bench: Any) -> None:
    bench.tree.add(TABLE)
    assert bench.drifts.look("shippyar").expected is None
    bench.run()
    found = bench.drifts.look("shippyar")
    assert (found.expected, found.differences) == (found.found, ())
    assert bench.drifts.look_at_all() == "every schema is as it should be"
    told = [each for each in bench.told if each.rule == "schema_drift"]
    assert told
    assert all(each.summary is None for each in told)


def test_what_was_changed_by_hand_is_named_told_and_blocks_in_production(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.run()
    bench.execute("ALTER TABLE parcels ADD COLUMN by_hand int")
    assert bench.drifts.look_at_all() == "drifted: shippyar"
    assert "column public.parcels.by_hand" in bench.told[-1].summary
    bench.tree.add("op.execute('CREATE TABLE boxes (id bigint)')")
    production = bench.build(environment="production")
    with pytest.raises(Blocked, match="gate drift: the schema was changed"):
        production.run("shippyar", order=bench.ana)
    bench.drifts.accept("shippyar", bench.drifts.look("shippyar").found, "ben")
    assert bench.told[-1].summary is None
    assert production.run("shippyar", order=bench.ana).state == "done"
    assert production.audit.verify().problems == ()


def test_only_what_was_seen_is_accepted(bench: Any) -> None:
    bench.tree.add(TABLE)
    bench.run()
    seen = bench.drifts.look("shippyar").found
    bench.execute("DROP TABLE parcels")
    with pytest.raises(DriftUnknown, match="changed meanwhile"):
        bench.drifts.accept("shippyar", seen, "ben")
    with pytest.raises(DriftUnknown, match="no migrator login"):
        bench.drifts.look("other")


def test_a_failed_run_is_told_and_the_next_one_that_is_done_ends_it(bench: Any) -> None:
    bench.tree.add("op.execute('SELECT 1/0')")
    with pytest.raises(Exception, match="division by zero"):
        bench.run()
    assert [c.rule for c in bench.told if c.summary] == ["migration_failed"]
    bench.tree.folder.joinpath("versions/001_step.py").unlink()
    bench.tree.last = None
    bench.tree.add(TABLE)
    bench.run()
    assert [c.summary for c in bench.told if c.rule == "migration_failed"][-1] is None
