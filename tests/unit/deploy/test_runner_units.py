"""The runner's units: the daemon alone may connect, and what runs has nothing of this machine's."""

from pathlib import Path

from shippyard.config.migration import Migration
from shippyard.migration import at_socket

UNITS = Path(__file__).parents[3] / "systemd"


def settings(name: str) -> dict[str, list[str]]:
    """Values by key, in order; sections don't share keys here."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


SOCKET = settings("shippyard-runner.socket")
SERVICE = settings("shippyard-runner@.service")


def test_the_daemon_alone_may_connect() -> None:
    assert SOCKET["ListenStream"] == ["/run/shippyard-runner.sock"]
    assert (SOCKET["SocketUser"], SOCKET["SocketMode"]) == (["shippyard"], ["0600"])
    assert SOCKET["Accept"] == ["yes"]
    assert 0 < int(SOCKET["MaxConnections"][0]) <= 32


def test_the_example_names_that_socket() -> None:
    example = (UNITS.parent / "config" / "production.toml").read_text()
    assert f'runner_socket = "{SOCKET["ListenStream"][0]}"' in example


def test_every_run_is_a_user_of_its_own_without_state_or_credentials() -> None:
    assert SERVICE["DynamicUser"] == ["yes"]
    assert SERVICE["User"] == ["sy-%i"]
    given = {"Group", "SupplementaryGroups", "StateDirectory", "RuntimeDirectory"}
    given |= {"LoadCredential", "LoadCredentialEncrypted", "SetCredential", "AmbientCapabilities"}
    assert not {key for key in given & SERVICE.keys() if SERVICE[key] != [""]}


def test_nothing_of_the_daemons_can_be_entered() -> None:
    closed = " ".join(SERVICE["InaccessiblePaths"]).split()
    for place in ("/etc/shippyard", "/etc/credstore", "/var/lib/shippyard", "/var/spool/shippyard"):
        assert f"-{place}" in closed
    # Of /run, where the control socket and credentials are, only what is listed is there.
    assert SERVICE["TemporaryFileSystem"][0].startswith("/run:ro")
    assert SERVICE["BindReadOnlyPaths"] == ["-/run/postgresql -/run/systemd/resolve -/run/nscd"]


def test_nobody_can_reach_it() -> None:
    refused = " ".join(rule[1:] for rule in SERVICE["SystemCallFilter"] if rule.startswith("~"))
    for call in ("bind", "listen", "accept", "ptrace", "io_uring_setup"):
        assert call in refused.split()


def test_systemd_waits_longer_than_the_runner_and_the_daemon() -> None:
    assert int(SERVICE["TimeoutStopSec"][0]) > at_socket.ROLLBACK_S
    assert int(SERVICE["RuntimeMaxSec"][0]) > Migration.model_fields["timeout_s"].default
    # The last words are passed on by the one that gets SIGTERM first.
    assert SERVICE["KillMode"] == ["mixed"]


def test_installing_brings_every_unit() -> None:
    makefile = (UNITS.parent / "Makefile").read_text()
    for unit in UNITS.glob("shippyard*"):
        assert unit.name in makefile
