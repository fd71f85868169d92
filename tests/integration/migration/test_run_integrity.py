"""A run after which something it had not to touch is gone has failed, and says what."""

from typing import Any

import pytest

from shippyard.migration.execution import RunFailed

ROWS = "INSERT INTO parcels SELECT g, g FROM generate_series(1, 500) g"


def test_a_run_that_leaves_all_as_it_was_says_so(bench: Any) -> None:
    bench.begin_with_parcels(ROWS)
    bench.tree.add("op.execute('ALTER TABLE parcels ADD COLUMN note text')")
    run = bench.run()
    assert run.state == "done"
    assert run.detail["integrity"]["verdict"] == "ok"
    assert run.detail["integrity"]["looked"]["public.parcels"] > 0


def test_rows_that_a_function_took_away_are_missed_and_told(bench: Any) -> None:
    bench.begin_with_parcels(ROWS)
    bench.execute(
        "CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'DELETE FROM parcels WHERE id < 300'"
    )
    bench.tree.add(
        "op.execute('ALTER TABLE parcels ADD COLUMN note text'); op.execute('SELECT tidy()')"
    )
    with pytest.raises(RunFailed, match="the data is not whole"):
        bench.run()
    (run,) = bench.migrations.history()
    assert run.detail["integrity"]["verdict"] == "damaged"
    assert [c.severity for c in bench.told if c.rule == "migration_damaged" and c.summary] == [
        "page"
    ]


def test_health_is_watched_for_a_while_where_that_is_asked_for(bench: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add("op.execute('ALTER TABLE parcels ADD COLUMN note text')")
    policy = bench.migrations._config.model_copy(update={"watch_s": 1.0})
    run = bench.build(config=policy).run("shippyar", order=bench.ana)
    assert run.state == "done"
    assert run.detail["aftercare"]["verdict"] in {"settled", "unknown"}
    assert [c.summary for c in bench.told if c.rule == "migration_hurting"] == [None]
