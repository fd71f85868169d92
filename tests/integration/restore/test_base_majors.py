"""Base backups, incremental ones and points in time on each major version that is here."""

from collections.abc import Iterator

import pytest

from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.restore.physical import RestoreRefused
from shippyard.backup.restore.point import parse_point
from shippyard.host.process import Processes
from tests.integration.restore.base_ground import (
    Ground,
    grounded,
    links_below,
    two_tablespaces,
)

MAJORS = [pytest.param(major, id=f"postgres-{major}") for major in (15, 17)]


@pytest.fixture(scope="module", params=MAJORS)
def ground(processes: Processes, request: pytest.FixtureRequest) -> Iterator[Ground]:
    with grounded(processes, request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def empty_table(ground: Ground) -> None:
    ground.execute("TRUNCATE t")


def test_points_in_time(ground: Ground) -> None:
    base = ground.base()
    ground.segments(1)
    ground.execute("SELECT pg_create_restore_point('half way')")
    at = ground.execute("SELECT clock_timestamp()")[0][0].isoformat()
    xid = ground.execute(
        "WITH i AS (INSERT INTO t VALUES (2) RETURNING 1) SELECT pg_current_xact_id()::text FROM i"
    )[0][0]
    lsn = ground.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    ground.segments(3, 4)
    wanted = {at: [1], lsn: [1, 2], "name:half way": [1], f"xid:{xid}": [1], "latest": [1, 2, 3, 4]}
    for text, rows in wanted.items():
        with ground.restored(base, point=parse_point(text)) as back:
            assert (text, back.rows()) == (text, rows)


def test_an_incremental_chain(ground: Ground) -> None:
    if ground.tools.major < 17:
        parent = ground.base()
        with pytest.raises(EngineFailed, match="can't make incremental base backups"):
            ground.engine(parent=parent).preflight()
        return
    with two_tablespaces(ground):
        ground.execute("INSERT INTO t SELECT generate_series(1, 20000)")
        full = ground.base()
        ground.execute("UPDATE t SET n = -1 WHERE n = 1", "INSERT INTO one VALUES (101)")
        first = ground.base(parent=full)
        ground.execute("UPDATE t SET n = -2 WHERE n = 2", "INSERT INTO one VALUES (102)")
        second = ground.base(parent=first)
        ground.segments(20001)
        assert (second[1].parent, first[1].parent) == (first[1].id, full[1].id)
        assert second[1].size_bytes < full[1].size_bytes / 2
        with ground.restored(full, first, second) as back:
            assert back.rows() == [-2, -1, *range(3, 20002)]
            assert back.execute("SELECT count(*) FROM one") == [(102,)]
            home = back.laid.data_dir.parent
            assert all(home in p.resolve().parents for p in links_below(back.laid.data_dir))
            assert [p.name for p in home.iterdir() if p.name.startswith(".data")] == []
        with pytest.raises(RestoreRefused, match=f"needs its parent {first[1].id}"):
            ground.lay_out(ground.place(), full, second)
        with pytest.raises(RestoreRefused, match="which is not here"):
            ground.lay_out(ground.place(), first, second)
    ground.execute("ALTER SYSTEM SET summarize_wal = off", "SELECT pg_reload_conf()")
    with pytest.raises(EngineFailed, match="ALTER SYSTEM SET summarize_wal"):
        ground.engine(parent=full).preflight()
    ground.execute("ALTER SYSTEM RESET summarize_wal", "SELECT pg_reload_conf()")
