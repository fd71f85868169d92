"""What pg_restore says is read to the end: errors are told from what an older server lacks."""

import tempfile

import pytest

from shippyard.backup.restore.loading import ERRORS_KEPT, _Said

SAYS = b"pg_restore: error: could not execute query: ERROR:  "
LACKS = SAYS + b'unrecognized configuration parameter "transaction_timeout"\n'
FAILS = SAYS + b'relation "users" does not exist\n'


@pytest.mark.parametrize("jobs", [1, ERRORS_KEPT, 64])
def test_an_error_is_seen_after_any_number_of_jobs_that_met_an_older_server(jobs: int) -> None:
    with tempfile.TemporaryFile() as stderr:
        said = _Said(stderr, {}, set())
        stderr.write(LACKS * jobs)
        stderr.flush()
        said.read()
        assert (said.errors, said.is_older) == ([], True)
        stderr.write(FAILS)
        stderr.flush()
        said.read()
    assert said.errors == [FAILS.decode().rstrip()]


def test_of_many_errors_the_first_are_kept() -> None:
    with tempfile.TemporaryFile() as stderr:
        said = _Said(stderr, {}, set())
        stderr.write(FAILS * 2 * ERRORS_KEPT)
        stderr.flush()
        said.read()
    assert (len(said.errors), said.is_older) == (ERRORS_KEPT, False)


@pytest.mark.parametrize(("status", "is_fine"), [(0, True), (1, True), (-9, False), (2, False)])
def test_a_program_that_was_killed_is_not_excused_by_an_older_server(
    status: int, *, is_fine: bool
) -> None:
    with tempfile.TemporaryFile() as stderr:
        stderr.write(LACKS)
        stderr.flush()
        said = _Said(stderr, {}, set())
        said.read()
        assert said.excuses(status) == is_fine
        assert _Said(stderr, {}, set()).excuses(status) == (status == 0)
