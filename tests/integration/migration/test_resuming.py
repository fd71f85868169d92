"""Going on with a run that did not get to its end: the very same plan, from where it stands."""

from typing import Any

import pytest

from shippyard.migration.execution import RunFailed
from shippyard.migration.plan import PlanRefused

UNIQUE = "op.execute('ALTER TABLE parcels ADD CONSTRAINT once UNIQUE (weight)')"


@pytest.fixture
def stuck(bench: Any) -> Any:
    """A run whose second of three revisions failed on the rows that were there."""
    bench.begin_with_parcels("INSERT INTO parcels VALUES (1, 5), (2, 5)")
    bench.tree.add("op.execute('CREATE TABLE boxes (id int)')")
    bench.tree.add(UNIQUE)
    bench.tree.add("op.execute('CREATE TABLE crates (id int)')")
    with pytest.raises(RunFailed, match="could not create unique index"):
        bench.run()
    return bench


def test_a_failed_run_goes_on_once_its_reason_is_gone(stuck: Any) -> None:
    failed = stuck.migrations.history()[0]
    rest = stuck.migrations.rest()
    assert (rest.run.id, len(rest.revisions)) == (failed.id, 2)
    stuck.execute("DELETE FROM parcels")
    run = stuck.migrations.resume(failed.id, order=stuck.ana)
    assert (run.state, run.of_run, run.to_revision) == ("done", failed.id, failed.to_revision)
    assert run.content_hash == failed.content_hash
    assert stuck.scalar("SELECT to_regclass('crates') IS NOT NULL")
    with pytest.raises(PlanRefused, match="is done: there is nothing to go on with"):
        stuck.migrations.rest(run.id)
    with pytest.raises(PlanRefused, match=r"came after .*; go on with that one"):
        stuck.migrations.rest(failed.id)


def test_another_tree_is_not_gone_on_with(stuck: Any) -> None:
    failed = stuck.migrations.history()[0]
    (file,) = stuck.tree.folder.glob("versions/*4_step.py")
    file.write_text(file.read_text().replace("crates", "chests"))
    with pytest.raises(PlanRefused, match=f"not the one that run {failed.id} had"):
        stuck.migrations.resume(failed.id, order=stuck.ana)
    assert stuck.migrations.history()[0].id == failed.id


def test_a_database_that_was_moved_elsewhere_is_left_alone(stuck: Any) -> None:
    failed = stuck.migrations.history()[0]
    stuck.execute("UPDATE alembic_version SET version_num = 'elsewhere'")
    with pytest.raises(PlanRefused, match="elsewhere, which is not on the way"):
        stuck.migrations.rest(failed.id).document()
    with pytest.raises(PlanRefused, match="no run 'of-nobody'"):
        stuck.migrations.rest("of-nobody")


def test_without_any_run_there_is_nothing_to_go_on_with(bench: Any) -> None:
    with pytest.raises(PlanRefused, match="there was no run yet"):
        bench.migrations.rest()


def test_an_index_that_a_build_left_invalid_is_dropped_and_built_again(bench: Any) -> None:
    bench.begin_with_parcels("INSERT INTO parcels VALUES (1, 5), (2, 5)")
    bench.tree.add(
        "with op.get_context().autocommit_block(): "
        "op.execute('CREATE UNIQUE INDEX CONCURRENTLY once ON parcels (weight)')"
    )
    with pytest.raises(RunFailed, match="could not create unique index"):
        bench.run()
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert bench.scalar(invalid) == 1
    assert bench.migrations.rest().document()["left"] == [
        "public.once is INVALID; it is dropped and built again"
    ]
    bench.execute("DELETE FROM parcels WHERE id = 2")
    failed = bench.migrations.history()[0]
    assert bench.migrations.resume(failed.id, order=bench.ana).state == "done"
    assert bench.scalar(invalid) == 0
    assert bench.scalar("SELECT count(*) FROM pg_class WHERE relname = 'once'") == 1
