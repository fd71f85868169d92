"""A plan and three people: one looks, one asks and runs, one agrees; each a user of the kernel."""

import grp
import os
from collections.abc import Callable
from typing import Any

import pytest

from proofs.program import Ran
from proofs.rig import DATABASE, Rig

GROUP = "users"
PEOPLE = {"viewer": 20001, "operator": 20002, "approver": 20003}

As = Callable[..., Ran]


@pytest.fixture
def ask(own: Rig) -> As:
    """`ctl` as one of the three; their uids have no names, so their numbers stand for them."""
    if os.geteuid() != 0:
        pytest.skip("only root can be three people")
    own.document["control"] |= {
        "group": GROUP,
        "operators": [str(PEOPLE["operator"])],
        "approvers": [str(PEOPLE["approver"])],
    }
    own.document["migration"] |= {"approvals": 1, "rehearsal": True}
    sandboxes = own.folder / "sandboxes"  # where the account that runs PostgreSQL may enter
    own.document["backup"]["sandbox"] = {"dir": str(sandboxes)}
    own.start()

    def asked(who: str, *arguments: str) -> Ran:
        uid = str(PEOPLE[who])
        groups = grp.getgrnam(GROUP).gr_gid
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={groups}")
        return own.ctl(*arguments, prefix=prefix)

    return asked


def refused(ran: Ran, code: int, said: str) -> None:
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def rehearse(ask: As) -> None:
    """The plan is tried on a backup, by somebody who may."""
    without = ask("operator", "migrate", "rehearse", "003")
    assert without.returncode == 3
    assert "shippyard ctl backup run" in without.stderr
    assert ask("operator", "backup", "run", DATABASE).returncode == 0
    refused(ask("viewer", "migrate", "rehearse", "003"), 5, "operators")
    tried = ask("operator", "migrate", "rehearse", "003", "--json")
    assert tried.returncode == 0, tried.stderr
    report = tried.document
    assert (report["outcome"], report["comes_back"]) == ("passed", True), report
    listed = ask("viewer", "migrate", "rehearsals", "--json").document["rehearsals"]
    assert [each["outcome"] for each in listed] == ["passed", "blocked"]
    summary = ask("viewer", "migrate", "rehearsal", report["id"], "--markdown", "-")
    assert "### Rehearsal of" in summary.stdout


def test_a_plan_is_rehearsed_and_needs_another_persons_yes(ask: As) -> None:
    looked = ask("viewer", "migrate", "plan", "003")
    refused(looked, 3, "gate rehearsal: it was not rehearsed")
    rehearse(ask)
    looked = ask("viewer", "migrate", "plan", "003")
    refused(looked, 3, "gate approvals: 1 of 1 missing")
    assert "shippyard ctl migrate request" in looked.stdout
    refused(ask("viewer", "migrate", "003", "--yes"), 3, "gate approvals")
    refused(ask("viewer", "migrate", "request", "003"), 5, "operators")
    asked: dict[str, Any] = ask("operator", "migrate", "request", "003", "--json").document
    plan = asked["plan_hash"][:12]
    refused(ask("operator", "migrate", "approve", plan), 5, "approvers")
    agreed = ask("approver", "migrate", "approve", plan, "--reason", "seen in staging")
    assert agreed.returncode == 0, agreed.stderr
    refused(ask("approver", "migrate", "run", "003", "--yes"), 3, "1 of 1 missing")
    done = ask("operator", "migrate", "003", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (done.document["state"], done.document["plan_hash"]) == ("done", asked["plan_hash"])
    audit = ask("viewer", "migrate", "audit", "--json").document
    assert (audit["problems"], audit["anchored"]) == ([], audit["entries"])
    told = [(entry["actor"], entry["action"]) for entry in audit["log"]]
    people = {name: str(uid) for name, uid in PEOPLE.items()}
    assert [each for each in told if each[1] != "backup.held"][:5] == [
        (people["operator"], "rehearsal.finished"),
        (people["operator"], "rehearsal.finished"),
        (people["operator"], "plan.request"),
        (people["approver"], "plan.approve"),
        (people["operator"], "run.requested"),
    ]
    drift = ask("viewer", "migrate", "drift", DATABASE)
    assert drift.returncode == 0, drift.stderr
    assert "as the last run left it" in drift.stdout
    waiting = ask("viewer", "migrate", "approvals", "--json").document
    assert waiting["open"] == []
    take_back(ask, done.document["id"])


def take_back(ask: As, run_id: str) -> None:
    """What was rehearsed to come back comes back, when somebody who may says so."""
    refused(ask("viewer", "migrate", "rollback", "--yes"), 5, "operators")
    unsaid = ask("operator", "migrate", "rollback", run_id)
    assert unsaid.returncode == 2
    assert "taken back: 003 → base" in unsaid.stdout
    back = ask("operator", "migrate", "rollback", run_id, "--yes", "--json")
    assert back.returncode == 0, back.stderr
    assert (back.document["state"], back.document["of_run"]) == ("done", run_id)
    runs = ask("viewer", "migrate", "history", "--json").document["runs"]
    assert [(each["way"], each["state"]) for each in runs] == [
        ("down", "done"),
        ("up", "rolled_back"),
    ]
    refused(ask("operator", "migrate", "rollback", run_id, "--yes"), 3, "it is rolled_back")
