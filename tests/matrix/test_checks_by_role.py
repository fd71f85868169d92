"""Every check is answered at the role that it names, wherever it may be asked."""

from collections.abc import Sequence

import pytest

from shippyard.config.models import Health
from shippyard.health.asking import Asker
from shippyard.health.loader import load_checks
from shippyard.health.model import Row
from shippyard.postgres.session import session
from tests.matrix.conftest import LOGINS, World

CHECKS = {check.name: check for check in load_checks(Health())}
LABELS = {"database": "shop", "cluster": "main"}


@pytest.mark.parametrize("place", ["shop", "empty", "standby"])
@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_answered_at_its_role(world: World, name: str, place: str) -> None:
    check = CHECKS[name]
    if check.name == "stat_io" and world.major < 16:
        assert not check.applies_to(world.major * 10_000)
        return
    with session(world.place(place, check.role), "test") as opened:
        Asker(LOGINS[check.role]).ask(opened, check, LABELS, 0.0)


def test_what_nobody_may_see_is_counted(world: World) -> None:
    def asked(name: str, role: str, **params: float) -> Sequence[Row]:
        check = CHECKS[name]
        with session(world.place("shop", role), "test") as opened:
            return opened.query(check.sql_for(opened.server_version), {**check.params, **params})

    tables = asked("table_bloat_estimate", "select", min_pages=100)
    # One is under row security.
    assert [(row["relation"], row["unjudged"]) for row in tables] == [
        ("public.orders", None),
        (None, 1),
    ]
    assert tables[0]["bloat_ratio"] > 0.5
    (unjudged,) = asked("table_bloat_estimate", "pg_monitor", min_pages=100)
    assert unjudged["unjudged"] == 2
    highest, *_, unread = asked("sequences", "select")
    assert (highest["relation"], unread["unread"]) == ("public.orders_id_seq", 0)
    assert highest["used_ratio"] > 0.9
    (unread,) = asked("sequences", "pg_monitor")
    assert unread["unread"] > 0
