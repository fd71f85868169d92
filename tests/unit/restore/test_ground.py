"""A place for a data folder: said to be unfit before anything is made, with what to do."""

import os
from pathlib import Path

import pytest

from shippyard.backup.restore import ground, handback
from shippyard.backup.restore.ground import unfit
from shippyard.backup.restore.handback import after_files
from shippyard.backup.restore.physical import LaidOut
from shippyard.postgres.tools import Tools


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no folder" in str(unfit(tmp_path / "file" / "data", "/backups", "@main"))


def test_what_we_can_not_write_to_gives_the_command_of_who_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    said = str(unfit(tmp_path / "new" / "data", "/my backups", "@main"))
    assert f"can't write to {tmp_path}" in said
    command = "sudo shippyard restore --from '/my backups' --of @main --data-dir"
    assert f"{command} {tmp_path}/new/data" in said


def test_the_parent_counts_when_the_folder_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: path == data)
    assert f"can't write to {tmp_path}" in str(unfit(data, "/backups", "@main"))


def test_what_is_fit_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "account_for_postgres", lambda: None)
    assert unfit(tmp_path / "a" / "b", "/backups", "@main") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("user", "first"),
    [("shippyard", "sudo chown -R postgres: "), ("postgres", "sudo -u postgres ")],
)
def test_files_that_are_ours_are_given_away_before_the_server_is_started(
    user: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handback.getpass, "getuser", lambda: user)  # type: ignore[attr-defined]  # its own import
    places = {"16400": Path("/srv/fast")}
    laid = LaidOut(Path("/srv/data"), places, 1, 0, 0, 1 << 24, "7", (), 0)
    given = after_files(laid, Tools(Path("/usr/lib/postgresql/15/bin"), 15), None, "@main", ())
    assert given.reach.startswith(first)
    every = "\n".join((given.reach, *given.commands))
    assert ("chown -R postgres: /srv/data /srv/fast" in every) is (user == "shippyard")
    assert "sudo -u postgres /usr/lib/postgresql/15/bin/pg_ctl --pgdata=/srv/data" in every
