"""Who was blocked by what is read from the server's own log."""

from pathlib import Path

from bench.samples import Statement
from bench.waits import Wait, blocked, read_log

CHANGER = 900
LOG = """\
1763866000.110 [11] LOG:  process 11 still waiting for AccessShareLock on relation 5 of database 6 \
after 10.045 ms at character 15
1763866000.110 [11] DETAIL:  Process holding the lock: 12. Wait queue: 900, 11.
1763866000.110 [11] STATEMENT:  SELECT 1
1763866000.300 [900] ERROR:  canceling statement due to lock timeout
1763866000.301 [11] LOG:  process 11 acquired AccessShareLock on relation 5 of database 6 after \
201.003 ms at character 15
1763866001.020 [13] LOG:  process 13 still waiting for ShareLock on transaction 77 after 10.1 ms
1763866001.020 [13] DETAIL:  Processes holding the lock: 12, 14. Wait queue: 13, 900.
1763866001.050 [13] LOG:  process 13 acquired ShareLock on transaction 77 after 40.000 ms
1763866002.020 [14] LOG:  process 14 still waiting for ShareLock on transaction 78 after 10.1 ms
"""


def statement(pid: int, started: float, ended: float) -> Statement:
    return Statement("old", "read", started, started, ended, pid, None)


def wait(pid: int, begun: float, ended: float, *ahead: int) -> Wait:
    return Wait(pid, ended, (ended - begun) * 1000, "a lock", frozenset(ahead))


def test_waits_that_ended_are_read_with_who_was_ahead(tmp_path: Path) -> None:
    file = tmp_path / "postgresql.log"
    file.write_text(LOG)

    log = read_log(file)

    assert log.waits == (
        Wait(11, 1763866000.301, 201.003, "AccessShareLock on a relation", frozenset({12, 900})),
        Wait(13, 1763866001.050, 40.0, "ShareLock on a transaction", frozenset({12, 14})),
    )
    assert log.lock_timeouts == (1763866000.3,)


def test_a_statement_is_blocked_for_the_sum_of_its_waits() -> None:
    waits = [wait(1, 0.0, 0.2, CHANGER), wait(1, 0.3, 0.4, 2), wait(1, 5.0, 6.0, CHANGER)]

    [found] = blocked([statement(1, 0.0, 0.5), statement(2, 0.0, 9.0)], waits)

    assert round(found.took_ms) == 300
    assert found.by_change


def test_who_waits_for_the_like_is_not_blocked_by_a_change() -> None:
    everyone = [statement(1, 0.0, 1.0), statement(2, 0.0, 1.0)]

    [found] = blocked(everyone, [wait(1, 0.1, 0.9, 2)])

    assert not found.by_change


def test_who_waits_for_one_that_a_change_blocks_is_blocked_by_it() -> None:
    everyone = [statement(pid, 0.0, 1.0) for pid in (1, 2, 3)]
    waits = [wait(1, 0.3, 0.9, 2), wait(2, 0.2, 0.9, 3), wait(3, 0.1, 0.8, CHANGER)]

    assert [each.by_change for each in blocked(everyone, waits)] == [True, True, True]


def test_who_waited_for_such_a_one_at_another_time_is_not() -> None:
    everyone = [statement(1, 0.0, 0.2), statement(2, 0.0, 1.0)]
    waits = [wait(1, 0.0, 0.2, 2), wait(2, 0.5, 0.9, CHANGER)]

    assert [each.by_change for each in blocked(everyone, waits)] == [False, True]
