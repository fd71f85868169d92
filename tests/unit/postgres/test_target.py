"""What libpq is told: by arguments of a connection and by environment, the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from shippyard.config.models import Database, Login
from shippyard.postgres.target import Target, target_of

PLAIN = Target("db.example", 5433, "shop", "watcher")

FILES = {
    "passfile": Path("/etc/shippyard/pass"),
    "sslrootcert": Path("/etc/ssl/db/root.crt"),
    "sslcert": Path("/etc/ssl/db/client.crt"),
    "sslkey": Path("/etc/ssl/db/client.key"),
}


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("passfile", "PGPASSFILE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
    ],
)
def test_a_file_reaches_connections_and_programs_alike(name: str, variable: str) -> None:
    told = str(FILES[name])
    target = target_of(
        Database(
            name="shop",
            host="db.example",
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=FILES["sslrootcert"],
            sslcert=FILES["sslcert"],
            sslkey=FILES["sslkey"],
            monitor=Login(user="watcher"),
            backup=Login(user="dumper"),
        ),
        Login(user="watcher", passfile=FILES["passfile"]),
    )
    assert target.conninfo()[name] == told
    assert target.environment()[variable] == told
    assert target.conninfo()["sslmode"] == target.environment()["PGSSLMODE"] == "verify-full"


def test_what_is_not_set_is_left_to_libpq() -> None:
    assert set(PLAIN.conninfo()) == {"host", "port", "dbname", "user", "sslmode"}
    assert set(PLAIN.environment()) == {"PGSSLMODE", "PGCONNECT_TIMEOUT"}


def test_a_password_is_told_to_libpq_and_to_nobody_else() -> None:
    target = replace(PLAIN, password="hunter2hunter2")
    assert target.conninfo()["password"] == "hunter2hunter2"
    assert target.environment()["PGPASSWORD"] == "hunter2hunter2"
    assert "hunter2" not in f"{target!r} {target} {target.arguments()}"
