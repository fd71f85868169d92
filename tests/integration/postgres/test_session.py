"""A session can do no harm and never waits for ever."""

import signal
import time
from dataclasses import replace

import pytest

from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.session import QueryFailed, Unreachable, open_session, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import ToolsMissing, server_tools, tools_for


def test_a_session_is_read_only_and_says_who_it_is(fresh_database: Target) -> None:
    with session(fresh_database, "test") as opened:
        rows = opened.query("SELECT current_setting('application_name') AS name")
        assert rows == [{"name": "shippyard:test"}]
        with pytest.raises(QueryFailed) as caught:
            opened.query("CREATE TABLE t ()")
        assert caught.value.sqlstate == "25006"


def test_the_server_ends_a_slow_statement_and_the_session_lives_on(fresh_database: Target) -> None:
    with session(fresh_database, "test") as opened:
        with pytest.raises(QueryFailed) as caught:
            opened.query("SELECT pg_sleep(30)", timeout_s=0.2)
        assert caught.value.sqlstate == "57014"
        assert opened.query("SELECT 1 AS one") == [{"one": 1}]


def test_only_what_is_asked_time_and_again_keeps_a_plan(fresh_database: Target) -> None:
    with session(fresh_database, "test") as opened:
        for _ in range(9):
            opened.query("SELECT 1 AS seldom")
            opened.query("SELECT 2 AS often", prepare=True)
        kept = opened.query("SELECT statement FROM pg_prepared_statements")
        assert kept == [{"statement": "SELECT 2 AS often"}]


def test_a_stopped_server_costs_a_second_more_than_the_timeout(processes: Processes) -> None:
    with embedded_cluster(server_tools(processes), processes) as stopped:
        with session(stopped.target(), "test") as opened:
            stopped.signal_all(signal.SIGSTOP)
            started = time.monotonic()
            with pytest.raises(QueryFailed) as caught:
                opened.query("SELECT 1", timeout_s=0.3)
            assert (str(caught.value), caught.value.sqlstate) == ("no answer within 1.3 s", None)
            assert opened.closed
            with pytest.raises(Unreachable):
                open_session(stopped.target(), "test", connect_timeout_s=2)
            # Not a performance claim: without the cut this would wait for ever.
            assert time.monotonic() - started < 20
            stopped.signal_all(signal.SIGCONT)


def test_unreachable_is_one_line_without_the_password(cluster: EmbeddedCluster) -> None:
    target = replace(cluster.target("nowhere"), password="hunter2hunter2")
    with pytest.raises(Unreachable) as caught:
        open_session(target, "test")
    message = str(caught.value)
    assert "nowhere" in message
    assert "\n" not in message
    assert "hunter2" not in message + repr(target)


def test_tools_for_a_newer_server_say_what_to_install(processes: Processes) -> None:
    with pytest.raises(ToolsMissing, match="install postgresql-client-99"):
        tools_for(processes, 99)
