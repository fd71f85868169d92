"""A block, told on every channel with its cause, taken on, taken back; and what people do about it.

Behind it a real Alertmanager and a real SMTP server, and receivers that stand for the others.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from proofs.paging.alertmanager import alertmanager, example_grouping
from proofs.paging.receivers import Desk, desk
from proofs.paging.stage import page_by
from proofs.rig import Block, Rig
from tests.conftest import Eventually

RULE = "blocked"
WITHIN_S = 60.0

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus-alertmanager"), reason="apt-get install prometheus-alertmanager"
)


@dataclass(frozen=True)
class OnCall:
    rig: Rig
    desk: Desk

    def told(self, event: str, since: float) -> None:
        """Wait until every channel was told."""
        for kept in self.desk.channels.values():
            kept.wait_for(RULE, event, since, WITHIN_S)


@pytest.fixture(scope="module")
def on_call() -> Iterator[OnCall]:
    # The stage's own fixture starts its daemon; here it starts once the routes are known.
    from tests.acceptance.conftest import _stage  # noqa: PLC0415

    with ExitStack() as undo:
        rig = undo.enter_context(_stage())
        tools = undo.enter_context(desk())
        behind = alertmanager(rig.folder, tools.alerts.url, example_grouping(), "am")
        page_by(rig, tools.routes(undo.enter_context(behind).url), tools.secrets())
        rig.document["alerting"]["rules"] = {RULE: {"for_s": 1}}
        rig.start()
        yield OnCall(rig, tools)


def test_a_block_is_told_everywhere_taken_on_and_taken_back(
    on_call: OnCall, eventually: Eventually
) -> None:
    block = Block(on_call.rig)
    on_call.told("trigger", block.begun)
    (shown,) = on_call.rig.ctl("alerts", "--json").document["incidents"]
    assert f"pid {block.holder_pid}" in shown["summary"]
    assert {each["route"] for each in shown["deliveries"]} >= {"hook", "duty", "chat", "mail", "am"}
    for body in (on_call.desk.chat.kept.bodies[-1], on_call.desk.mail.kept.bodies[-1]):
        assert str(block.holder_pid) in body

    assert on_call.rig.ctl("alerts", "ack", shown["id"][:8], "--why", "mine").returncode == 0
    duty = on_call.desk.duty.kept
    eventually(lambda: [each for each in duty.arrived if each.told.event == "acknowledge"], 20)
    assert "taken on by" in on_call.rig.ctl("alerts", "list").stdout

    ended = block.end_by(shown["action"])
    block.close()
    on_call.told("resolve", ended)
    history = on_call.rig.ctl("alerts", "history", "--json").document["incidents"]
    assert history[0]["state"] == "resolved"
    whole = on_call.rig.ctl("alerts", "show", shown["id"])
    assert "hook resolve sent" in whole.stdout


def test_a_silence_keeps_a_block_from_people_and_not_from_the_list(
    on_call: OnCall, eventually: Eventually
) -> None:
    before = len(on_call.desk.hook.kept.arrived)
    words = ("--for", "1h", "--match", f"rule={RULE}", "--why", "a drill", "--json")
    made = on_call.rig.ctl("alerts", "silence", *words).document["silence"]
    block = Block(on_call.rig)

    def firing() -> bool:
        shown = on_call.rig.ctl("alerts", "--json").document["incidents"]
        return [(i["state"], i["silenced_by"]) for i in shown] == [("firing", made["id"])]

    eventually(firing, 30)
    assert len(on_call.desk.hook.kept.arrived) == before
    assert on_call.rig.ctl("alerts", "unsilence", made["id"]).returncode == 0
    on_call.told("trigger", block.begun)
    on_call.told("resolve", block.end())


def test_a_route_is_tried(on_call: OnCall) -> None:
    tried = on_call.rig.ctl("alerts", "test", "duty")
    assert tried.returncode == 0, tried.stderr
    assert "duty trigger: HTTP 200" in tried.stdout
    unknown = on_call.rig.ctl("alerts", "test", "nobody")
    assert unknown.returncode == 2
    assert "it has: hook" in unknown.stderr
