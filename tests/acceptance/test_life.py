"""The daemon's life: refused twins, orderly ends, crashes, reloads."""

import signal

from proofs.program import shippyard
from proofs.rig import DATABASE, Rig
from tests.conftest import Eventually


def test_a_second_daemon_on_the_same_state_is_refused(own: Rig) -> None:
    own.start()
    ran = shippyard("run", "--config", str(own.config))
    assert ran.returncode == 1
    assert "in use by another shippyard" in ran.stderr
    assert own.ctl("status").returncode == 0


def test_sigterm_ends_it_well_and_removes_the_socket(own: Rig) -> None:
    daemon = own.start()
    daemon.send(signal.SIGTERM)
    assert daemon.wait(10) == 0
    assert not own.socket.exists()
    ran = own.ctl("status")
    assert ran.returncode == 4
    assert len(ran.stderr.splitlines()) == 1


def test_after_a_crash_everything_published_is_still_there(own: Rig) -> None:
    own.start()
    before = own.call("backup.run", {"database": DATABASE})["backups"]
    own.kill()
    own.start()
    after = own.call("backup.list")["backups"]
    assert sorted(b["id"] for b in after) == sorted(b["id"] for b in before)


def test_a_bad_reload_keeps_the_old_configuration(own: Rig, eventually: Eventually) -> None:
    daemon = own.start()
    own.config.write_text("environment = 'nowhere'\n")
    daemon.send(signal.SIGHUP)
    eventually(lambda: "config.reload_refused" in daemon.said())
    assert own.up() == 1


def test_readiness_says_why_not_while_the_database_is_away(
    own: Rig, eventually: Eventually
) -> None:
    own.start()
    assert own.scrape("/readyz").status == 200
    own.cluster.stop()
    eventually(lambda: own.scrape("/readyz").status == 503)
    assert DATABASE in own.scrape("/readyz").body
    assert own.scrape("/healthz").status == 200
    assert own.check_series() == []
    own.cluster.start()
    eventually(lambda: own.scrape("/readyz").status == 200, 30)


def test_version_and_help_need_no_daemon() -> None:
    assert shippyard("--version").returncode == 0
    for words in ([], ["ctl"], ["ctl", "migrate"], ["ctl", "backup", "run"], ["demo"], ["run"]):
        ran = shippyard(*words, "--help")
        assert ran.returncode == 0
        assert "Example:" in ran.stdout
        assert "Exit codes:" in ran.stdout


def test_an_unknown_option_is_one_line_and_usage() -> None:
    ran = shippyard("ctl", "status", "--jsn")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "--help" in ran.stderr
