"""Drills of real backups of a real cluster: what passes, what fails, what is measured and told."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from proofs.backup.drillyard import CLUSTER, SHOP, Yard, yard
from shippyard.backup.drill import methods
from shippyard.backup.drill.canary import Canary, read_canary, setup_statements
from shippyard.backup.drill.gauges import DrillGauges
from shippyard.backup.drill.model import DrillRefused
from shippyard.backup.drill.watch import FIRST_S, LossWatch, NoArrivals
from shippyard.backup.model import Kind
from shippyard.control.method import Call, MethodError, Peer
from shippyard.host.process import Processes
from shippyard.sandbox.local import LocalHost
from tests.conftest import Eventually, FakeClock
from tests.integration.backup.conftest import execute

PEER = Peer(0, "root", frozenset({"operator"}))


class Stream:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def progress(self, fields: Any) -> None:
        self.said.append(dict(fields))

    def item(self, fields: Any) -> None:
        self.said.append(dict(fields))


@pytest.fixture(scope="module")
def ground() -> Iterator[Yard]:
    """Production with WAL streamed, and one backup of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-drills-"))
    folder.chmod(0o755)
    try:
        yield from _ground(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ground(folder: Path) -> Iterator[Yard]:
    with yard(folder) as made, made.receiving():
        made.run(
            "CREATE ROLE seller",
            "CREATE TABLE goods (id int PRIMARY KEY, name text)",
            "INSERT INTO goods SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
            "GRANT SELECT ON goods TO seller",
        )
        made.canary.write()
        for kind in ("dump", "schema", "base"):
            made.back_up(kind)
        made.run("INSERT INTO goods VALUES (0, 'after the base')")
        made.canary.write()
        made.wait_received()
        yield made


def exported(ground: Yard, name: str, subject: str, kind: str, **labels: str) -> float | None:
    given = {"database": subject, "kind": kind, **labels}
    return ground.metrics.registry.get_sample_value(f"shippyard_backup_{name}", given)


@pytest.mark.parametrize("kind", ["dump", "schema", "base"])
def test_a_good_backup_passes_and_is_measured(ground: Yard, kind: Kind) -> None:
    drill = ground.drill(kind)
    assert (drill.outcome, drill.error) == ("passed", None)
    assert drill.rto_s
    assert exported(ground, "drill_success", drill.database, kind) == 1
    total = exported(ground, "drill_rto_seconds", drill.database, kind, phase="total")
    assert total == drill.rto_s
    assert exported(ground, "drill_rpo_seconds", drill.database, kind, loss="cluster") is not None
    assert exported(ground, "drill_rpo_seconds", drill.database, kind, loss="machine") is None
    assert exported(ground, "restore_forecast_seconds", drill.database, kind)
    assert ground.service.find(drill.backup_id).state == "drilled"
    history = ground.seal.read(ground.files(ground.service.find(drill.backup_id))).history
    assert history[-1].what == "drilled"
    assert [c for c in ground.told if c.rule == "drill_failed"][-1].summary is None
    looked = {look["what"] for look in drill.report["looks"]}
    wanted = {"dump": "content", "schema": "objects", "base": "indexes and tables, by amcheck"}
    assert wanted[kind] in looked
    if kind == "base":
        seen = read_canary(ground.production.target(SHOP))
        assert seen is not None
        assert drill.rpo_cluster_s == pytest.approx((drill.started_at - seen.at).total_seconds())
    assert list((ground.folder / "sandboxes").iterdir()) == []


def test_a_damaged_backup_fails_and_pages(ground: Yard) -> None:
    backup = ground.back_up("dump")
    archive = next(ground.files(backup).glob("shop.dump*"))
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    drill = ground.drill("dump", backup_id=backup.id)
    assert drill.outcome == "failed"
    assert "differs from its manifest" in (drill.error or "")
    assert drill.rto_s is None
    told = [c for c in ground.told if c.rule == "drill_failed" and c.subject == SHOP][-1]
    assert drill.id in (told.summary or "")
    assert exported(ground, "drill_success", SHOP, "dump") == 0
    assert not ground.service.find(backup.id).drilled_at
    archive.write_bytes(whole)
    ground.drill("dump", backup_id=backup.id)
    assert [c for c in ground.told if c.rule == "drill_failed"][-1].summary is None


def test_one_that_is_stopped_is_interrupted(ground: Yard, eventually: Eventually) -> None:
    processes, done = Processes(), []
    host = host_of(ground, processes)
    drills = ground.build_drills(processes=processes, host=host)
    begun = threading.Event()

    def work() -> None:
        done.append(drills.run(CLUSTER, "base", progress=lambda _: begun.set()))

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(DrillRefused, match="already"):
        drills.run(CLUSTER, "base")
    processes.end_all()
    thread.join(10)
    assert [drill.outcome for drill in done] == ["interrupted"]
    assert not list((ground.folder / "sandboxes").iterdir())


def host_of(ground: Yard, processes: Processes) -> Any:
    return LocalHost(
        ground.config.backup.sandbox, processes, ground.clock, ground.folder / "sandboxes"
    )


def test_the_methods(ground: Yard) -> None:
    answers = {method.name: method.run for method in methods.build(ground.drills)}
    stream = Stream()

    def ask(name: str, **params: Any) -> Any:
        return answers[name](Call(params, PEER, stream))

    done = ask("drill.run", subject=SHOP, kind="schema")["drills"]
    assert [each["outcome"] for each in done] == ["passed"]
    assert {"restore", "check"} <= {each["phase"] for each in stream.said}
    assert ask("drill.list", subject=SHOP)["drills"][0]["id"] == done[0]["id"]
    assert ask("drill.show", id=done[0]["id"])["report"]["looks"]
    for params, word in (
        ({"subject": "nobody"}, "there is shop, @main"),
        ({"subject": SHOP, "kind": "base"}, "dump and schema only"),
        ({"backup": "20260101T000000Z-dump-000000"}, "no backup"),
        ({"backup": "x", "older": True}, "not both"),
    ):
        with pytest.raises(MethodError, match=word) as refused:
            ask("drill.run", **params)
        assert refused.value.code == "usage"
    with pytest.raises(MethodError, match="no drill"):
        ask("drill.show", id="x")


def test_the_losses_now_where_wal_is_kept(ground: Yard) -> None:
    class Here:
        def received(self, _: str) -> Any:
            return ground.clock.now()

        def shipped(self, _: str) -> None:
            return None

    told: list[Any] = []
    gauges = DrillGauges(ground.metrics)
    watch = LossWatch(
        ground.config,
        backups=ground.service,
        arrivals=Here(),
        gauges=gauges,
        clock=ground.clock,
        tell=told.append,
    )
    watch.look()
    read = ground.metrics.registry.get_sample_value
    lost = read("shippyard_backup_rpo_seconds", {"database": SHOP, "loss": "cluster"})
    assert lost is not None
    assert lost < 1
    assert read("shippyard_backup_rpo_seconds", {"database": SHOP, "loss": "machine"}) is None
    promised = read("shippyard_backup_objective_seconds", {"database": SHOP, "objective": "rpo"})
    assert promised == 24 * 3600
    assert [(c.rule, c.summary) for c in told] == [("loss_over_objective", None)]
    watch.start()
    watch.stop()
    watch.stop()


def test_before_the_server_was_asked_nothing_is_said_of_losses(ground: Yard) -> None:
    told: list[Any] = []
    clock = FakeClock()
    watch = LossWatch(
        ground.config,
        backups=ground.service,
        arrivals=NoArrivals(),
        gauges=DrillGauges(ground.metrics),
        clock=clock,
        tell=told.append,
    )
    watch.look()
    assert told == []
    clock.advance(FIRST_S)
    watch.look()
    assert [each.rule for each in told] == ["loss_over_objective"]


def test_the_canary_beats_and_stops(ground: Yard, eventually: Eventually) -> None:
    target = ground.production.target(SHOP)
    before = read_canary(target)
    canary = Canary(CLUSTER, target, ground.clock)
    canary.start()
    eventually(lambda: read_canary(target) != before)
    canary.stop()
    canary.stop()
    rows = ground.run("SELECT count(*) FROM shippyard.canary")
    assert rows == [(1,)]
    Canary(CLUSTER, target, ground.clock).stop()


def test_a_canary_without_rights_says_what_to_run(ground: Yard, eventually: Eventually) -> None:
    admin = ground.production.target(SHOP)
    execute(admin, "CREATE DATABASE bare", "CREATE ROLE bird LOGIN")
    target = replace(admin, dbname="bare", user="bird")
    canary = Canary(CLUSTER, target, ground.clock)
    canary.start()
    problem = eventually(lambda: canary.problem)
    canary.stop()
    assert problem is not None
    assert "run once in bare: CREATE SCHEMA" in problem
    with psycopg.connect(**replace(admin, dbname="bare").conninfo(), autocommit=True) as owner:
        owner.execute(setup_statements(target).encode())
    another = Canary(CLUSTER, target, ground.clock)
    another.write()
    another.stop()
    assert read_canary(target) is not None
