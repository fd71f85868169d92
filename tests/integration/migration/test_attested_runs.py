"""A run in one environment, its word carried to another, where the gate asks for it."""

from typing import Any

import pytest

from shippyard.host.signing import signer_in
from shippyard.migration.attest import WordRefused
from shippyard.migration.attestations import here_of
from shippyard.migration.execution import Blocked


def test_what_ran_in_staging_lets_production_run_and_nothing_else_does(
    bench: Any, tmp_path: Any
) -> None:
    bench.tree.add("op.execute('CREATE TABLE parcels (id bigint)')")
    given = bench.migrations._parts.attestations
    with pytest.raises(WordRefused, match="no word on any run"):
        given.export()
    run = bench.run()
    word = given.export()
    said = word.record
    assert (said.run_id, said.content_hash, said.environment) == (
        run.id,
        run.content_hash,
        "testing",
    )
    assert said.data_bytes > 1_000_000
    assert given.attested("shippyar") == ()

    bench.execute("DROP TABLE parcels; DROP TABLE alembic_version")
    own = signer_in(tmp_path / "production")
    here = here_of("production", frozenset({"shippyar"}), own, (given.signer.public_key,))
    taking = type(given)(given.state, given.clock, given.audit, given.journal, own, here)
    with bench.state.write() as connection:
        connection.exec_driver_sql("DELETE FROM attestations")
    policy = bench.migrations._config.model_copy(
        update={"staging_keys": (given.signer.public_key,)}
    )
    production = bench.build(config=policy, environment="production", attestations=taking)
    with pytest.raises(Blocked, match="gate staging_first: this content ran nowhere else"):
        production.run("shippyar", order=bench.ana)
    taking.import_(word.to_bytes(), "ana")
    judged = production.plan("shippyar", order=bench.ana)
    (verdict,) = [each for each in judged.verdicts if each.gate == "staging_first"]
    assert verdict.verdict == "pass"
    with pytest.raises(WordRefused, match="production gives no word"):
        taking.export()


def test_a_run_that_was_taken_back_has_no_word_any_more(bench: Any) -> None:
    bench.tree.add("op.execute('CREATE TABLE parcels (id bigint)')")
    run = bench.run()
    bench.migrations._parts.journal.move(run.id, "taken_back")
    with pytest.raises(WordRefused, match="is rolled_back"):
        bench.migrations._parts.attestations.export(run.id)
