"""A plan that needs another person's yes, from asking to running, as the socket is asked."""

import json
from typing import Any

import pytest

from shippyard.control.method import Call, MethodError, Peer
from shippyard.migration import methods
from shippyard.migration.approvals import methods as approvals
from shippyard.migration.approvals.methods import Desk

TABLE = "op.execute('CREATE TABLE parcels (id bigint)')"
ANA, BEN = Peer(1001, "ana", frozenset({"operator"})), Peer(1002, "ben", frozenset({"approver"}))


class Silent:
    """Nobody listens."""

    def progress(self, fields: Any) -> None:
        pass

    def item(self, fields: Any) -> None:
        pass


@pytest.fixture
def ask(bench: Any) -> Any:
    """Methods as the socket calls them, under a policy that asks for one approval."""
    policy = bench.migrations._config.model_copy(update={"approvals": 1})
    migrations = bench.build(config=policy)
    desk = Desk(migrations._parts.book, migrations, policy, lambda: None)
    built = [*methods.build(migrations, bench.backfills), *approvals.build(desk)]
    known = {method.name: method for method in built}

    def asked(peer: Peer, name: str, **params: Any) -> Any:
        method = known[f"migrate.{name}"]
        return json.loads(json.dumps(method.run(Call(params, peer, Silent()))))

    return asked


def refusal(ask: Any, peer: Peer, name: str, **params: Any) -> MethodError:
    with pytest.raises(MethodError) as refused:
        ask(peer, name, **params)
    assert "\n" not in str(refused.value)
    return refused.value


def test_nothing_runs_before_another_person_agreed(bench: Any, ask: Any) -> None:
    bench.tree.add(TABLE)
    run: dict[str, Any] = {"database": "shippyar"}
    assert "gate approvals: 1 of 1 missing" in str(refusal(ask, ANA, "run", **run))
    asked = ask(ANA, "request", database="shippyar", reason="for parcels")
    assert asked["plan"]["revisions"][0]["revision"] == "001"
    beginning = asked["plan_hash"][:12]
    own = refusal(ask, ANA, "approve", plan_hash=beginning)
    assert (own.code, "another person" in str(own)) == ("blocked", True)
    assert "asked for by ana" in str(refusal(ask, ANA, "run", **run))
    ask(BEN, "approve", plan_hash=beginning)
    # not by his own yes
    assert "1 of 1 missing" in str(refusal(ask, BEN, "run", **run))
    done = ask(ANA, "run", plan_hash=asked["plan_hash"], **run)
    assert (done["state"], done["plan_hash"]) == ("done", asked["plan_hash"])
    words = ask(ANA, "approvals")
    assert words["open"] == []
    assert {word["spent_by"] for word in words["words"]} == {done["id"]}


def test_what_was_approved_is_that_plan_alone(bench: Any, ask: Any) -> None:
    file = bench.tree.add(TABLE)
    asked = ask(ANA, "request", database="shippyar")
    ask(BEN, "approve", plan_hash=asked["plan_hash"])
    file.write_text(file.read_text().replace("bigint", "int"))
    assert "1 of 1 missing" in str(refusal(ask, ANA, "run", database="shippyar"))
    file.write_text(file.read_text().replace("(id int)", "(id bigint)"))
    bench.execute("CREATE TABLE by_hand (id int)")
    assert "1 of 1 missing" in str(refusal(ask, ANA, "run", database="shippyar"))
    bench.execute("DROP TABLE by_hand")
    assert ask(ANA, "run", database="shippyar")["state"] == "done"


def test_live_facts_void_nothing_and_are_judged_at_each_attempt(bench: Any, ask: Any) -> None:
    bench.tree.add(TABLE)
    asked = ask(ANA, "request", database="shippyar")
    ask(BEN, "approve", plan_hash=asked["plan_hash"])
    bench.live.blocked_sessions = 3
    assert "gate blockers" in str(refusal(ask, ANA, "run", database="shippyar"))
    bench.live.blocked_sessions = 0
    assert ask(ANA, "run", database="shippyar")["state"] == "done"


def test_a_no_stands_until_somebody_asks_again(bench: Any, ask: Any) -> None:
    bench.tree.add(TABLE)
    asked = ask(ANA, "request", database="shippyar")
    ask(BEN, "approve", plan_hash=asked["plan_hash"])
    ask(BEN, "reject", plan_hash=asked["plan_hash"], reason="not today")
    assert "ben said no" in str(refusal(ask, ANA, "run", database="shippyar"))
    ask(ANA, "request", database="shippyar")
    assert "1 of 1 missing" in str(refusal(ask, ANA, "run", database="shippyar"))


def test_an_emergency_needs_two_people_and_a_reason(bench: Any, ask: Any) -> None:
    bench.tree.add(TABLE)
    asked = ask(ANA, "request", database="shippyar")
    urgent: dict[str, Any] = {"plan_hash": asked["plan_hash"], "emergency": True}
    assert "--reason" in str(refusal(ask, BEN, "approve", **urgent))
    assert "1 of 1" in str(refusal(ask, ANA, "run", database="shippyar", emergency=True))
    ask(BEN, "approve", reason="orders can't be taken", **urgent)
    run = ask(ANA, "run", database="shippyar", emergency=True)
    assert run["state"] == "done"
    (started,) = [step for step in bench.migrations.history() if step.id == run["id"]]
    assert started.requested_by == "ana"
