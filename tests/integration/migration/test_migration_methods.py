"""What migrations answer on the socket, on a real PostgreSQL."""

import json
from typing import Any

import pytest

from shippyard.control.method import Call, Document, Method, MethodError, Peer
from shippyard.migration.methods import build
from tests.conftest import Eventually


class Told:
    """A stream that keeps what it was told."""

    def __init__(self) -> None:
        self.progressed: list[Document] = []
        self.items: list[Document] = []

    def progress(self, fields: Document) -> None:
        self.progressed.append(fields)

    def item(self, fields: Document) -> None:
        self.items.append(fields)


def ask(bench: Any, name: str, told: Told | None = None, /, **params: Any) -> Any:
    methods: dict[str, Method] = {
        method.name: method for method in build(bench.migrations, bench.backfills)
    }
    peer = Peer(1000, "ana", frozenset({"operator"}))
    answer = methods[name].run(Call(params, peer, told or Told()))
    return json.loads(json.dumps(answer))


def refusal(bench: Any, name: str, /, **params: Any) -> MethodError:
    with pytest.raises(MethodError) as refused:
        ask(bench, name, **params)
    assert "\n" not in str(refused.value)
    return refused.value


def test_plan_run_history(bench: Any) -> None:
    bench.tree.add("op.execute('CREATE TABLE parcels (id int)')")
    plan = ask(bench, "migrate.plan", database="shippyar")
    assert (plan["current"], plan["target"], plan["blocked"]) == (None, "001", False)
    assert plan["revisions"][0]["file"] == "versions/001_step.py"
    assert plan["revisions"][0]["reversible"] is True
    assert "CREATE TABLE parcels" in plan["revisions"][0]["sql"]
    assert {v["verdict"] for v in plan["verdicts"]} <= {"pass", "warn"}
    told = Told()
    run = ask(bench, "migrate.run", told, database="shippyar", plan_hash=plan["plan_hash"])
    assert (run["state"], run["requested_by"], run["backup_id"]) == ("done", "ana", "backup-0")
    assert {item["verdict"]["gate"] for item in told.items} == {v["gate"] for v in plan["verdicts"]}
    phases = list(dict.fromkeys(fields["phase"] for fields in told.progressed))
    assert phases == ["plan", "gate", "backup", "verify", "run"]
    again = ask(bench, "migrate.run", database="shippyar")
    assert (again["id"], again["state"]) == (None, "nothing_to_do")
    assert [r["id"] for r in ask(bench, "migrate.history")["runs"]] == [run["id"]]
    assert ask(bench, "migrate.history", database="other")["runs"] == []


def test_refusals_have_codes(bench: Any) -> None:
    bench.tree.add("op.execute('CREATE TABLE parcels (id int)')")
    for name in ("migrate.plan", "migrate.run"):
        assert refusal(bench, name).code == "usage"
        assert refusal(bench, name, database=7).code == "usage"
        assert refusal(bench, name, database="other").code == "usage"
        assert refusal(bench, name, database="shippyar", revision="01").code == "usage"
    changed = refusal(bench, "migrate.run", database="shippyar", plan_hash="0" * 64)
    assert changed.code == "blocked"
    assert len(changed.detail["plan_hash"]) == 64
    bench.live.blocked_sessions = 1
    blocked = refusal(bench, "migrate.run", database="shippyar")
    assert blocked.code == "blocked"
    assert "blockers" in str(blocked)
    shown = {"gate", "verdict", "summary", "evidence", "expires_at", "override"}
    assert shown == set(blocked.detail["verdicts"][0])
    bench.live.blocked_sessions = 0
    bench.tree.folder.joinpath("env.py").unlink()
    assert refusal(bench, "migrate.plan", database="shippyar").code == "failed"


def test_status_shows_what_runs_and_cancel_ends_it(bench: Any, eventually: Eventually) -> None:
    bench.tree.add("op.execute('SELECT pg_sleep(30)')")
    running = bench.in_background(lambda: ask(bench, "migrate.run", database="shippyar"))
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
    eventually(lambda: bench.scalar(sleeping) == 1)
    (shown,) = ask(bench, "migrate.status")["running"]
    assert shown["progress"]["message"] == "applying 001"
    answer = ask(bench, "migrate.cancel", database="shippyar")
    assert answer["run"] == shown["run"]
    with pytest.raises(MethodError, match="the database is at no revision"):
        running.result()
    after = ask(bench, "migrate.status", database="shippyar")
    assert (after["running"], [run["id"] for run in after["unfinished"]]) == ([], [shown["run"]])
    assert "no migration of shippyar" in str(refusal(bench, "migrate.cancel", database="shippyar"))
    whole = ask(bench, "migrate.show", run=shown["run"])
    assert [step["event"] for step in whole["detail"]["steps"]][-1] == "interrupted"


def test_a_backfill_in_the_background_is_begun_stopped_and_begun_again(
    bench: Any, eventually: Eventually
) -> None:
    bench.tree.add(
        "op.execute('CREATE TABLE parcels (id int PRIMARY KEY, n int NOT NULL)'); "
        "op.execute('INSERT INTO parcels SELECT g, 0 FROM generate_series(1, 3000) g')"
    )
    bench.tree.add(
        "from shippyard.migration import ops; "
        "ops.backfill('touches', 'parcels', {'n': 'n + 1'}, "
        "background=True, target_ms=1, duty=0.01)"
    )
    ask(bench, "migrate.run", database="shippyar")

    def standing() -> Any:
        return ask(bench, "migrate.status")["backfills"][0]

    asked: dict[str, Any] = {"database": "shippyar", "name": "touches"}
    assert standing()["state"] == "waiting"
    ask(bench, "migrate.backfill.start", **asked)
    assert "is being filled already" in str(refusal(bench, "migrate.backfill.start", **asked))
    eventually(lambda: standing()["rows"] > 0)
    assert standing()["state"] == "filling"
    ask(bench, "migrate.backfill.stop", **asked)
    eventually(lambda: standing()["state"] == "waiting")
    stopped_at = standing()["rows"]
    assert 0 < stopped_at < 3000
    assert bench.scalar("SELECT count(*) FROM parcels WHERE n > 1") == 0
    bench.execute("UPDATE shippyard.backfill SET spec = jsonb_set(spec, '{limits,duty}', '1')")
    ask(bench, "migrate.backfill.start", **asked)
    eventually(lambda: standing()["state"] == "done", timeout_s=60)
    assert bench.scalar("SELECT count(*) FROM parcels WHERE n = 1") == 3000
    unknown: dict[str, Any] = {"database": "shippyar", "name": "other"}
    assert "no backfill 'other'" in str(refusal(bench, "migrate.backfill.start", **unknown))
    assert "not filling" in str(refusal(bench, "migrate.backfill.stop", **unknown))


def test_a_plan_shows_what_is_risky_in_it_both_ways(bench: Any) -> None:
    bench.begin_with_parcels()
    bench.tree.add(
        "op.create_index('by_weight', 'parcels', ['weight'])",
        "op.drop_index('by_weight')",
    )
    plan = ask(bench, "migrate.plan", database="shippyar")
    found = {(h["id"], h["way"]): h for h in plan["hazards"]}
    assert set(found) == {("H01", "up"), ("H07", "down")}
    assert found["H01", "up"]["file"] == "versions/002_step.py"
    assert "create_index_concurrently" in found["H01", "up"]["instead"]
