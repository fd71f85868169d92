"""`health.end` ends the session that was shown, and no other."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest

from shippyard.control.method import Call, Document, MethodError, Peer
from shippyard.health import blockers, ending
from shippyard.postgres.target import Target
from tests.conftest import Eventually
from tests.integration.health.conftest import connect, watcher_of
from tests.integration.health.test_locks_seen import waiting

SLEEPERS_SQL = """
SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()
"""
OPERATOR = Peer(7, "olga", frozenset({"viewer", "operator"}))


class Silent:
    def progress(self, fields: Document) -> None:
        """Nobody listens."""

    def item(self, fields: Document) -> None:
        """Nobody listens."""


@dataclass
class Written:
    """An audit that remembers."""

    entries: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    def record(self, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> str:
        assert subject == "main"
        self.entries.append((actor, action, detail))
        return ""


def root_of(target: Target) -> Mapping[str, Any]:
    (method,) = blockers.build({"main": lambda: watcher_of(target)})
    (database,) = method.run(Call({}, OPERATOR, Silent()))["databases"]
    return dict(database["roots"][0]) if database["roots"] else {}


def end(
    target: Target, root: Mapping[str, Any], audit: Written, signal: Target | None = None
) -> Document:
    logins = ending.Logins(lambda: watcher_of(target), lambda: signal or target)
    (method,) = ending.build({"main": logins}, audit)
    assert method.role == "operator"
    request = {name: root[name] for name in ("pid", "backend_start")}
    return method.run(Call({"database": "main", **request}, OPERATOR, Silent()))


@pytest.fixture
def blocked(fresh_database: Target, eventually: Eventually) -> Iterator[tuple[Target, Any]]:
    """A row is held, and somebody waits for it. The holder may be ended meanwhile."""
    with contextlib.suppress(psycopg.OperationalError), connect(fresh_database) as holder:
        holder.execute("CREATE TABLE stock (n int)")
        holder.execute("INSERT INTO stock VALUES (0)")
        holder.execute("BEGIN")
        holder.execute("UPDATE stock SET n = 1")
        with waiting(fresh_database, "UPDATE stock SET n = 2"):
            yield fresh_database, eventually(lambda: root_of(fresh_database))


def test_who_idles_in_a_transaction_is_ended_and_it_is_written_down(
    blocked: tuple[Target, Any], eventually: Eventually
) -> None:
    target, root = blocked
    audit = Written()
    answer = end(target, root, audit)
    assert answer["outcome"] == "ended"
    assert "pg_terminate_backend" in answer["ran"]
    assert [(actor, action) for actor, action, _ in audit.entries] == [
        ("olga", "session.end"),
        ("olga", "session.ended"),
    ]
    assert audit.entries[0][2]["victims"] == 1
    eventually(lambda: not root_of(target))
    with pytest.raises(MethodError, match="blocks nobody any more; nothing was done"):
        end(target, root, audit)


def test_another_session_with_the_same_pid_is_left_alone(blocked: tuple[Target, Any]) -> None:
    target, root = blocked
    audit = Written()
    with pytest.raises(MethodError, match="another session by now; nothing was done") as refused:
        end(target, {**root, "backend_start": "2020-01-01T00:00:00+00:00"}, audit)
    assert refused.value.code == "blocked"
    assert audit.entries == []
    assert root_of(target)["pid"] == root["pid"]


def test_a_login_that_may_not_says_what_allows_it(blocked: tuple[Target, Any]) -> None:
    target, root = blocked
    audit = Written()
    unable = watcher_of(target)
    with pytest.raises(MethodError, match=f"GRANT pg_signal_backend TO {unable.user}"):
        end(target, root, audit, signal=unable)
    with pytest.raises(MethodError, match="or run by hand: SELECT pg_terminate_backend"):
        end(target, root, audit, signal=replace(target, user="nobody_there"))
    assert root_of(target)["pid"] == root["pid"]


def test_a_statement_that_runs_is_cancelled(fresh_database: Target, eventually: Eventually) -> None:
    with connect(fresh_database) as setup:
        setup.execute("CREATE TABLE stock (n int)")
    with waiting(fresh_database, "LOCK TABLE stock; SELECT pg_sleep(600)"):
        eventually(lambda: _sleeps(fresh_database))
        with waiting(fresh_database, "SELECT FROM stock"):
            root = eventually(lambda: root_of(fresh_database))
            answer = end(fresh_database, root, Written())
    assert "pg_cancel_backend" in answer["ran"]
    assert answer["outcome"] == "ended"


def _sleeps(target: Target) -> bool:
    with connect(target) as connection:
        found = connection.execute(SLEEPERS_SQL).fetchone()
    return found is not None
