"""docs/access.md is what a bootstrapped server at head does, and no attempt gets by."""

from collections.abc import Iterator

import pytest

from proofs.shippyar.hostile import ATTEMPTS, Attempt
from proofs.shippyar.house import House, furnished_house
from proofs.shippyar.matrix import differences, documented
from shippyard.host.process import Processes
from shippyard.postgres.tools import server_tools


@pytest.fixture(scope="module")
def house(processes: Processes) -> Iterator[House]:
    with furnished_house(server_tools(processes)) as furnished:
        yield furnished


def test_every_role_may_do_what_the_document_says(house: House) -> None:
    assert differences(house) == []


def test_the_document_speaks_of_every_table_and_five_roles_and_more() -> None:
    roles = {role for role, _ in documented()}
    assert len(roles) >= 5
    assert documented()["shippyar_app", "alembic_version"] == ""
    assert documented()["analytics_ro", "users"] == "S"


def test_a_right_that_is_not_documented_is_seen(house: House) -> None:
    house.run("GRANT TRUNCATE ON cities TO analytics_ro")
    try:
        assert differences(house) == ["analytics_ro on cities: documented 'S', allowed 'ST'"]
    finally:
        house.run("REVOKE TRUNCATE ON cities FROM analytics_ro")


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_an_attempt_does_not_get_by(house: House, attempt: Attempt) -> None:
    attempt(house)


@pytest.mark.parametrize("table", ["users", "user_preferences", "addresses", "shipments"])
def test_a_policy_that_is_gone_is_noticed(house: House, table: str) -> None:
    """The attempts are worth something: without the policies they get by."""
    unset, read_others = ATTEMPTS[0], ATTEMPTS[3]
    house.run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    try:
        for attempt in (unset, read_others):
            with pytest.raises(AssertionError, match=table):
                attempt(house)
    finally:
        house.run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
