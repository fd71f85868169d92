"""The whole course: assessed, refused by name, restored, compared, handed back, remembered."""

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shippyard.backup.layout import Layout
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.offsite.offsite import open_offsite
from shippyard.backup.restore.archive import RestoreFailed
from shippyard.backup.restore.place import only_restore_into
from shippyard.backup.restore.service import RULE, Restores
from shippyard.backup.restore.shelf import FolderShelf
from shippyard.backup.seal import seal_of
from shippyard.cli.exits import ExitCode
from shippyard.config.models import Offsite
from shippyard.control.method import MethodError
from shippyard.host.clock import SystemClock
from shippyard.telemetry.condition import Condition
from tests.integration.restore.restore_yard import Yard, typed


def test_assessed_restored_compared_and_handed_back(yard: Yard, elsewhere: str) -> None:
    assessed = yard.ask("restore.assess", of="shop", dbname=elsewhere)
    assert assessed["refusals"] == []
    assert assessed["backup"]["of"] == "shop"
    report = yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert report["ok"], report["differences"]
    assert report["compared"] == "1 tables by row count, 1 of them by digest"
    assert f"-d {elsewhere}" in report["reach"]
    assert any("RENAME TO" in command for command in report["commands"])
    assert yard.count(elsewhere, "users") == 70


def test_retention_waits_while_it_runs(yard: Yard, elsewhere: str) -> None:
    lock = Layout(yard.config.backup.dir).prune_lock()
    held: list[str] = []

    def try_to_prune(said: Condition) -> None:
        with contextlib.suppress(Busy), exclusive(lock, "pruning"):
            return
        held.append(said.rule)

    yard.restores._tell = try_to_prune
    yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert held == [RULE, RULE]
    with exclusive(lock, "pruning"):
        pass


def test_on_call_is_told_that_it_runs_and_that_it_ended(yard: Yard, elsewhere: str) -> None:
    yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert [condition.rule for condition in yard.told] == [RULE, RULE]
    assert elsewhere in str(yard.told[0].summary)
    assert yard.told[1].summary is None
    (run,) = yard.ask("restore.status")["restores"]
    assert (run["state"], run["asked_by"], run["target"]) == ("done", "olga", elsewhere)


def test_a_name_that_was_not_typed_restores_nothing(yard: Yard, elsewhere: str) -> None:
    with pytest.raises(MethodError, match="confirm it by the target's name") as refused:
        yard.ask("restore.run", of="shop", dbname=elsewhere, confirm="shop")
    assert refused.value.code == "usage"
    assert yard.told == []


def test_what_is_there_blocks_it_and_is_listed(yard: Yard) -> None:
    name = yard.target.dbname
    with pytest.raises(MethodError, match=r"is not empty: table public\.users") as refused:
        yard.ask("restore.run", of="shop", confirm=name)
    assert refused.value.code == "blocked"
    assert refused.value.detail["refusals"]
    assert yard.told == []


def test_content_that_differs_is_no_success(
    yard: Yard, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = yard.means.shelf
    found = shelf.look()
    (manifest,) = found.manifests
    assert manifest.content is not None
    table = replace(manifest.content.tables[0], digest="0" * 32)
    content = replace(manifest.content, tables=(table,))
    changed = replace(found, manifests=(replace(manifest, content=content),))
    monkeypatch.setattr(shelf, "look", lambda: changed)
    report = yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)
    assert not report["ok"]
    assert report["differences"] == ["public.users: 70 rows as before, but their content differs"]
    assert yard.ask("restore.status")["restores"][0]["state"] == "differs"


def test_two_restores_into_one_place_are_one_too_many(
    yard: Yard, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    fetch = yard.means.shelf.folder

    def slowly(*arguments: Any) -> Path:
        begun.set()
        assert go_on.wait(10)
        return fetch(*arguments)

    monkeypatch.setattr(yard.means.shelf, "folder", slowly)
    params = {"of": "shop", "dbname": elsewhere, "confirm": elsewhere}
    first = threading.Thread(target=lambda: yard.ask("restore.run", **params))
    first.start()
    assert begun.wait(10)
    with pytest.raises(MethodError, match="is under way"):
        yard.ask("restore.run", **params)
    go_on.set()
    first.join(20)
    assert yard.count(elsewhere, "users") == 70


def test_a_second_program_is_kept_out_too(yard: Yard, elsewhere: str) -> None:
    into = replace(yard.target, dbname=elsewhere)
    with only_restore_into(into), pytest.raises(MethodError, match=r"restore into .* is under way"):
        yard.ask("restore.run", of="shop", dbname=elsewhere, confirm=elsewhere)


def test_without_daemon_state_or_config_it_comes_back(yard: Yard, elsewhere: str) -> None:
    code, said = typed(yard, "--dbname", elsewhere, "--yes")
    assert code == 0, said
    assert "compared     1 tables by row count, 1 of them by digest" in said
    assert yard.count(elsewhere, "users") == 70


def test_the_list_says_what_there_is_and_what_is_not_believed(yard: Yard) -> None:
    assert "-dump-" in typed(yard, "--list")[1]
    code, said = typed(yard, "--list", trust="0" * 16)
    assert code == ExitCode.FAILED
    assert f"signed by key {yard.key_id}, which is not trusted here" in said


def test_one_backup_by_its_folder(yard: Yard) -> None:
    (folder,) = (yard.config.backup.dir / "shop").glob("*-dump-*")
    shelf = FolderShelf(folder, seal_of(yard.config).trusted)
    assert [manifest.id for manifest in shelf.look().manifests] == [folder.name]


def test_from_a_store_off_the_machine(yard: Yard, elsewhere: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    seal = seal_of(yard.config)
    (folder,) = (yard.config.backup.dir / "shop").glob("*-dump-*")
    store.mkdir()
    offsite = open_offsite(Offsite(url=str(store)), seal, SystemClock())
    offsite.send(folder, seal.read(folder))
    offsite.close()
    place = ("--from", str(store), "--scratch", str(tmp_path))
    code, said = typed(yard, *place, "--dbname", elsewhere, "--yes", trust="0" * 16)
    assert code == ExitCode.BLOCKED
    assert f"signed by {yard.key_id}, which is not trusted here" in said
    code, said = typed(yard, *place, "--dbname", elsewhere, "--yes")
    assert code == 0, said
    assert yard.count(elsewhere, "users") == 70


def test_a_place_that_is_gone_is_said(yard: Yard, tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path / "nowhere", frozenset())
    gone = Restores(replace(yard.means, shelf=shelf), yard.told.append)
    with pytest.raises(RestoreFailed, match="is it mounted"):
        gone.backups()
