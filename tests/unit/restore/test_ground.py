"""A place for a data folder: said to be unfit before anything is made, with what to do."""

import os
from pathlib import Path

import pytest

from shippyard.backup.restore import ground, handback
from shippyard.backup.restore.ground import Wished, is_private, state_of, unfit
from shippyard.backup.restore.handback import after_files
from shippyard.backup.restore.physical import LaidOut
from shippyard.backup.restore.point import LATEST, Point, options_of, parse_point
from shippyard.backup.restore.unpack import make_parents
from shippyard.postgres.tools import Tools

COMMAND = ("shippyard", "restore", "--from", "/my backups", "--of", "@main")
UNITS_TMP = "/tmp/systemd-private-6f-shippyard.service-x1/tmp"
MOUNTS = f"""\
27 1 8:1 / / rw - ext4 /dev/root rw
98 27 8:1 {UNITS_TMP} /tmp rw,nosuid shared:1 - ext4 /dev/root rw
99 27 8:2 / /tmp/disk rw - ext4 /dev/sdb rw
"""


def wished(data_dir: Path, heir: str | None = None) -> Wished:
    return Wished(data_dir, data_dir.with_name("data.tablespaces"), COMMAND, heir)


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root, whoever runs the tests."""
    monkeypatch.setattr(ground, "account_for_postgres", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(ground.getpass, "getuser", lambda: "shippyard")  # type: ignore[attr-defined]  # its own import


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no folder" in str(unfit(wished(tmp_path / "file" / "data")))


def test_what_we_can_not_write_to_gives_the_command_of_who_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    said = str(unfit(wished(tmp_path / "new" / "data")))
    assert f"can't write to {tmp_path}" in said
    command = "sudo shippyard restore --from '/my backups' --of @main --data-dir"
    assert said.endswith(f"{command} {tmp_path}/new/data")


def test_the_parent_counts_when_the_folder_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: path == data)
    assert f"can't write to {tmp_path}" in str(unfit(wished(data)))


def test_a_folder_that_we_may_not_look_into_is_refused_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut, exists = tmp_path / "shut", Path.exists
    shut.mkdir()

    def refused(path: Path) -> bool:
        if shut in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refused)
    monkeypatch.setattr(os, "access", lambda path, _: path != shut)
    assert f"can't write to {shut}; with rights there run: sudo" in str(
        unfit(wished(shut / "a" / "data"))
    )
    assert state_of(shut / "a" / "data").endswith("may not look into it")


@pytest.mark.usefixtures("ordinary")
def test_what_is_fit_is_not_made(tmp_path: Path) -> None:
    assert unfit(wished(tmp_path / "a" / "b")) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("ordinary")
def test_who_is_to_start_the_server_must_come_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "closed_to", lambda folder, name: folder if name == "bin" else None)
    said = str(unfit(wished(tmp_path / "data", heir="bin")))
    assert f"user bin, who runs the server, can't enter {tmp_path}; restore to another" in said
    assert said.endswith("--of @main --data-dir FOLDER")
    assert unfit(wished(tmp_path / "data", heir="nobody_of_that_name")) is None


@pytest.mark.usefixtures("ordinary")
def test_a_tmp_of_the_daemons_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.replace(" /tmp ", f" {tmp_path} "))
    monkeypatch.setattr(ground, "MOUNTS", mounts)
    assert f"{tmp_path} is seen by the daemon alone; for all to see it run: sudo shippyard" in str(
        unfit(wished(tmp_path / "data"))
    )


@pytest.mark.parametrize(
    ("folder", "private"),
    [("/tmp", True), ("/tmp/x", True), ("/tmp/disk/x", False), ("/srv", False), ("/tmpx", False)],
)
def test_what_only_a_unit_sees_is_told_by_its_mount(folder: str, *, private: bool) -> None:
    assert is_private(Path(folder), MOUNTS) is private


@pytest.mark.parametrize("at", ["name:a b", "xid:777", "0/3000060", "2026-03-04T05:06:07+00:00"])
def test_the_command_of_who_can_leads_to_the_same_point(at: str) -> None:
    assert options_of(parse_point(at)) == ("--at", at)
    assert options_of(LATEST) == ()
    assert options_of(Point("latest", timeline="2")) == ("--timeline", "2")


def test_parents_that_are_made_can_be_entered_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_parents(tmp_path / "a" / "b" / "data")
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (tmp_path / "a", tmp_path / "a" / "b")] == [
        0o711,
        0o711,
    ]
    assert not (tmp_path / "a" / "b" / "data").exists()


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
