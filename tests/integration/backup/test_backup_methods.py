"""What the backup room answers on the socket, and its jobs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.methods import build
from shippyard.backup.schedule import jobs
from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.postgres.target import Target
from tests.integration.backup.conftest import MakeYard, Yard

LISTED = {
    "id",
    "database",
    "kind",
    "state",
    "reason",
    "started_at",
    "finished_at",
    "size_bytes",
    "duration_s",
    "error",
    "held_by",
    "parent",
    "replicated_at",
    "drilled_at",
}


class Heard:
    """A stream that remembers."""

    def __init__(self) -> None:
        self.said: list[Document] = []

    def progress(self, fields: Document) -> None:
        self.said.append(fields)

    def item(self, fields: Document) -> None:
        self.said.append(fields)


Ask = Callable[..., Any]


def asking(yard: Yard) -> Ask:
    methods = {method.name: method for method in build(yard.service)}

    def ask(name: str, heard: Heard | None = None, **params: Any) -> Any:
        call = Call(params, Peer(0, "root", frozenset()), heard or Heard())
        answer = methods[name].run(call)
        return json.loads(json.dumps(answer))

    return ask


@pytest.fixture
def ask(yard: Yard) -> Ask:
    return asking(yard)


def test_roles(yard: Yard) -> None:
    roles = {method.name: method.role for method in build(yard.service)}
    assert roles == {
        "backup.run": "operator",
        "backup.list": "viewer",
        "backup.show": "viewer",
        "backup.verify": "operator",
        "backup.prune": "operator",
        "backup.hold": "operator",
        "backup.release": "operator",
        "backup.rebuild": "operator",
    }


def test_run_takes_every_kind_and_says_how_far_it_is(ask: Ask) -> None:
    heard = Heard()
    taken = ask("backup.run", heard, database="shop")["backups"]
    assert [(each["kind"], each["state"], each["reason"]) for each in taken] == [
        ("dump", "published", "manual"),
        ("schema", "published", "manual"),
    ]
    assert set(taken[0]) == LISTED
    assert {"id", "phase"} <= set(heard.said[0])
    assert ask("backup.list")["backups"] == ask("backup.list", database="shop")["backups"]
    assert {each["id"] for each in ask("backup.list")["backups"]} == {t["id"] for t in taken}


def test_show_verify_and_prune(ask: Ask, yard: Yard) -> None:
    taken = ask("backup.run", database="shop", kind="dump")["backups"][0]
    shown = ask("backup.show", id=taken["id"])
    assert shown["manifest"]["id"] == taken["id"]
    assert Path(shown["path"]) == yard.root / "shop" / taken["id"]
    verified = ask("backup.verify", id=taken["id"])
    assert (verified["id"], verified["ok"], verified["problems"]) == (taken["id"], True, [])
    assert ask("backup.prune") == {
        "decisions": [
            {
                "id": taken["id"],
                "database": "shop",
                "kind": "dump",
                "keep": True,
                "why": "the newest of its kind",
            }
        ],
        "deleted": [],
        "frozen": None,
    }


def test_a_failed_run_is_listed_only_when_asked_for(make_yard: MakeYard, tmp_path: Path) -> None:
    ask = asking(make_yard(target=Target(str(tmp_path), 5999, "shop", "nobody")))
    with pytest.raises(
        MethodError, match=r"dump backup of shop: .*; schema backup of shop: "
    ) as no:
        ask("backup.run", database="shop")
    assert no.value.code == "failed"
    assert ask("backup.list")["backups"] == []
    assert [each["state"] for each in ask("backup.list", all=True)["backups"]] == ["failed"] * 2


@pytest.mark.parametrize(
    ("name", "params", "complaint"),
    [
        ("backup.run", {}, "no database None; the configuration has shop"),
        ("backup.run", {"database": "x"}, "no database 'x'"),
        ("backup.run", {"database": ["shop"]}, "no database"),
        (
            "backup.run",
            {"database": "shop", "kind": "base"},
            "no kind 'base' here; base backups are of a cluster",
        ),
        ("backup.list", {"database": "x"}, "no database 'x'"),
        ("backup.list", {"all": "yes"}, "all is true or false"),
        ("backup.show", {}, "no backup None"),
        ("backup.verify", {"id": "x"}, "no backup x; see"),
        ("backup.prune", {"apply": 1}, "apply is true or false"),
        ("backup.prune", {"confirm_catalogue": 1}, "confirm_catalogue is true or false"),
        ("backup.run", {"database": "@main"}, "no database '@main'"),
        ("backup.hold", {"id": "x", "why": " "}, "say why"),
        ("backup.hold", {"id": "x", "why": "audit"}, "no backup x"),
        ("backup.release", {"id": "x"}, "no backup x"),
        ("backup.rebuild", {"apply": "no"}, "apply is true or false"),
    ],
)
def test_bad_parameters_are_usage(
    ask: Ask, name: str, params: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(MethodError, match=complaint) as refused:
        ask(name, **params)
    assert refused.value.code == "usage"


def test_jobs_have_the_names_and_lines_of_the_configuration(
    make_yard: MakeYard,
) -> None:
    yard = make_yard(dump_schedule="1 2 * * *", schema_schedule="", prune_schedule="3 4 * * sun")
    due = {job.name: job for job in jobs(yard.service, yard.config)}
    assert {name: job.schedule for name, job in due.items()} == {
        "backup.dump.shop": "1 2 * * *",
        "backup.prune": "3 4 * * sun",
    }
    said = due["backup.dump.shop"].run()
    backup = yard.service.history()[0]
    assert said == f"{backup.id}, {backup.size_bytes} bytes"
    assert (backup.reason, backup.kind) == ("schedule", "dump")
    assert due["backup.prune"].run() == "deleted 0 of 1 backups"


def test_a_held_backup_says_who_holds_it_until_it_is_released(ask: Ask) -> None:
    taken = ask("backup.run", database="shop", kind="schema")["backups"][0]
    held = ask("backup.hold", id=taken["id"], why="audit of 2025")
    assert held["held_by"] == "operator: root: audit of 2025"
    assert ask("backup.list")["backups"][0] == held
    with pytest.raises(MethodError, match="held already, by operator: root: audit"):
        ask("backup.hold", id=taken["id"], why="another")
    assert ask("backup.release", id=taken["id"]) == taken
    with pytest.raises(MethodError, match="held by nobody"):
        ask("backup.release", id=taken["id"])


def test_a_rebuild_says_what_it_would_do(ask: Ask) -> None:
    taken = ask("backup.run", database="shop", kind="schema")["backups"][0]
    found = ask("backup.rebuild")
    assert not found["applied"]
    assert [(each["id"], each["change"]) for each in found["found"]] == [(taken["id"], "kept")]


def test_jobs_of_a_cluster(make_yard: MakeYard) -> None:
    yard = make_yard(clusters={"main": {}}, incremental_schedule="0 4 * * *")
    due = {job.name: job.schedule for job in jobs(yard.service, yard.config)}
    assert due["backup.base.@main"] == "15 1 * * sun"
    assert due["backup.incremental.@main"] == "0 4 * * *"
    assert "backup.base.shop" not in due
