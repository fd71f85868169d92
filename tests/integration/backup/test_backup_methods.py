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
    methods = {method.name: method for method in build(yard.service, yard.config)}

    def ask(name: str, heard: Heard | None = None, **params: Any) -> Any:
        call = Call(params, Peer(0, "root", frozenset()), heard or Heard())
        answer = methods[name].run(call)
        return json.loads(json.dumps(answer))

    return ask


@pytest.fixture
def ask(yard: Yard) -> Ask:
    return asking(yard)


def test_roles(yard: Yard) -> None:
    roles = {method.name: method.role for method in build(yard.service, yard.config)}
    assert roles == {
        "backup.run": "operator",
        "backup.list": "viewer",
        "backup.show": "viewer",
        "backup.verify": "operator",
        "backup.prune": "operator",
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
        ("backup.run", {"database": "shop", "kind": "base"}, "no kind 'base'; use dump, schema"),
        ("backup.list", {"database": "x"}, "no database 'x'"),
        ("backup.list", {"all": "yes"}, "all is true or false"),
        ("backup.show", {}, "no backup None"),
        ("backup.verify", {"id": "x"}, "no backup x; see"),
        ("backup.prune", {"apply": 1}, "apply is true or false"),
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
