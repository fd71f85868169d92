"""Advisory locks: who is kept out, who is let in, and how their loss is noticed."""

import psycopg
import pytest

from shippyard.postgres.locks import LockLost, LockTaken, backup_key, locks
from shippyard.postgres.target import Target
from tests.conftest import Eventually

KEY = backup_key("shop", "dump")


def end_sessions_called(target: Target, name: str) -> None:
    with psycopg.connect(**target.conninfo(), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [name],
        )


def test_one_holder_and_the_second_is_told_who(fresh_database: Target) -> None:
    with locks(fresh_database, "backup-lock:x") as first, locks(fresh_database, "two") as second:
        first.take(KEY)
        with pytest.raises(LockTaken, match=r"shippyard:backup-lock:x, server process \d+"):
            second.take(KEY)
        second.take(backup_key("shop", "schema"))
        second.take(backup_key("mall", "dump"))
    with locks(fresh_database, "three") as third:
        third.take(KEY)


def test_sharers_are_together_and_keep_a_single_holder_out(fresh_database: Target) -> None:
    with locks(fresh_database, "one") as one, locks(fresh_database, "two") as two:
        one.take_shared(KEY)
        two.take_shared(KEY)
        with locks(fresh_database, "three") as three, pytest.raises(LockTaken):
            three.take(KEY)


def test_keys_fit_bigint_and_differ() -> None:
    keys = {backup_key(f"s{n}", kind) for n in range(500) for kind in ("dump", "base")}
    assert len(keys) == 1000
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert min(keys) < 0 < max(keys)


def test_a_session_that_was_ended_is_noticed_without_a_question(
    fresh_database: Target, eventually: Eventually
) -> None:
    with locks(fresh_database, "doomed") as doomed:
        doomed.take(KEY)
        doomed.check()
        doomed.prove()
        end_sessions_called(fresh_database, "shippyard:doomed")

        def lost() -> bool:
            try:
                doomed.check()
            except LockLost:
                return True
            return False

        eventually(lost)
        with pytest.raises(LockLost, match="another could have begun"):
            doomed.prove()


def test_a_role_that_ends_idle_sessions_does_not_end_ours(
    fresh_database: Target,
) -> None:
    with psycopg.connect(**fresh_database.conninfo(), autocommit=True) as admin:
        name = fresh_database.dbname
        admin.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '50ms'".encode())
    with locks(fresh_database, "patient") as patient:
        patient.take(KEY)
        shown = patient._session.query("SHOW idle_session_timeout")
        assert shown == [{"idle_session_timeout": "0"}]
