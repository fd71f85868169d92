"""Who reads a whole database is seen: dumps of ours and of others, and nobody else."""

from contextlib import closing

import psycopg
import pytest

from shippyard.backup.readers import reader_of
from shippyard.postgres.locks import MIGRATION_KEY, locks
from shippyard.postgres.session import Unreachable, open_session
from shippyard.postgres.snapshot import snapshot_session
from shippyard.postgres.target import Target


def test_nobody_reads_a_quiet_database(fresh_database: Target) -> None:
    assert reader_of(fresh_database) is None


def test_a_dump_of_ours_is_named_by_its_lock(fresh_database: Target) -> None:
    with locks(fresh_database, "backup-lock:dump-7") as held:
        held.take_shared(MIGRATION_KEY)
        assert str(reader_of(fresh_database)).startswith("dump-7 (server process ")


def test_a_migration_is_no_reader(fresh_database: Target) -> None:
    with locks(fresh_database, "migrate:r1") as held:
        held.take(MIGRATION_KEY)
        assert reader_of(fresh_database) is None


def test_a_digest_holds_its_snapshot(fresh_database: Target) -> None:
    with snapshot_session(fresh_database, "backup", max_s=60) as held:
        held.query("SELECT 1")
        assert str(reader_of(fresh_database)).startswith("shippyard:backup (")
    with closing(open_session(fresh_database, "backup")):
        assert reader_of(fresh_database) is None, "an idle session holds no snapshot"


def test_a_dump_of_somebody_else_is_seen(fresh_database: Target) -> None:
    info = {**fresh_database.conninfo(), "application_name": "pg_dump"}
    with psycopg.connect(**info) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        assert str(reader_of(fresh_database)).startswith("pg_dump (server process ")


def test_a_server_that_does_not_answer_is_no_quiet_one(fresh_database: Target) -> None:
    info = {**vars(fresh_database), "host": "127.0.0.1", "port": 1}
    with pytest.raises(Unreachable):
        reader_of(Target(**info))
