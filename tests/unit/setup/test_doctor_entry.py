"""What the doctor says to a server's refusal: the statement or the line, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from shippyard.postgres.target import Target
from shippyard.setup.doctor.entry import (
    MADE_BY,
    STREAMS,
    USUAL,
    Refused,
    hba_line,
    may_be_absent,
    remedy_for,
    sql_name,
)

TARGET = Target("db.example", 5432, "shop", "shippyard_replication", password="hush")
NO_LINE = (
    'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.5", '
    'user "shippyard_replication", database "shop", no encryption'
)
NO_STREAM = (
    'FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.5", '
    'user "shippyard_replication", no encryption'
)
BAD_PASSWORD = 'FATAL:  password authentication failed for user "shippyard_replication"'
OTHER_PASSWORD = (
    "ALTER ROLE shippyard_replication PASSWORD '…', the one that is in its credential or passfile"
)


def refused(said: str, *, exists: bool | None = True, into: str = "shop") -> Refused:
    return Refused(said, TARGET, exists, into)


@pytest.mark.parametrize(
    ("said", "into", "line"),
    [
        (NO_LINE, "shop", "host  shop  shippyard_replication  10.0.0.5/32  scram-sha-256"),
        (
            NO_STREAM,
            STREAMS,
            "host  replication  shippyard_replication  10.0.0.5/32  scram-sha-256",
        ),
        (
            NO_LINE.replace("10.0.0.5", "fe80::1"),
            "shop",
            "host  shop  shippyard_replication  fe80::1/128  scram-sha-256",
        ),
        (
            'Ident authentication failed for user "x"',
            "my shop",
            'host  "my shop"  shippyard_replication  ADDRESS-OF-THIS-MACHINE/32  scram-sha-256',
        ),
        (
            NO_LINE,
            "all",
            'host  "all"  shippyard_replication  10.0.0.5/32  scram-sha-256',
        ),
    ],
)
def test_a_line_that_is_missing_is_written_out(said: str, into: str, line: str) -> None:
    assert remedy_for(refused(said, into=into)) == (
        f"in pg_hba.conf, above other lines that fit: `{line}`; then: SELECT pg_reload_conf()"
    )


def test_a_socket_and_a_certificate_have_lines_of_their_own() -> None:
    socket = replace(refused(NO_LINE), target=replace(TARGET, host="/var/run/postgresql"))
    assert hba_line(socket) == "local  shop  shippyard_replication  scram-sha-256"
    by_certificate = replace(TARGET, password=None, sslcert=Path("/etc/x.crt"))
    assert hba_line(replace(refused(NO_LINE), target=by_certificate)) == (
        "hostssl  shop  shippyard_replication  10.0.0.5/32  cert"
    )


@pytest.mark.parametrize(
    ("said", "exists", "remedy"),
    [
        ('FATAL:  role "shippyard_replication" does not exist', None, MADE_BY),
        (BAD_PASSWORD, False, MADE_BY),
        (
            BAD_PASSWORD,
            True,
            OTHER_PASSWORD,
        ),
        (
            "FATAL:  must be superuser or replication role to start walsender",
            True,
            "ALTER ROLE shippyard_replication REPLICATION",
        ),
        (
            "FATAL:  permission denied to start WAL sender",
            None,
            "ALTER ROLE shippyard_replication REPLICATION",
        ),
        (
            "FATAL:  number of requested standby connections exceeds max_wal_senders",
            True,
            "ALTER SYSTEM SET max_wal_senders = 20, or more, and restart the server",
        ),
        (
            'FATAL:  permission denied for database "shop"',
            True,
            "GRANT CONNECT ON DATABASE shop TO shippyard_replication",
        ),
        ("connection refused", None, USUAL),
    ],
)
def test_what_the_role_lacks_is_given(*, said: str, exists: bool | None, remedy: str) -> None:
    assert remedy_for(refused(said, exists=exists)) == remedy


def test_a_role_and_its_line_may_both_be_missing() -> None:
    remedy = remedy_for(refused(NO_LINE, exists=False))
    assert remedy.startswith(f"{MADE_BY}; in pg_hba.conf, above")


@pytest.mark.parametrize(
    ("said", "expected"),
    [(NO_LINE, True), (BAD_PASSWORD, True), ("Connection refused", False), ("timeout", False)],
)
def test_others_are_asked_only_when_the_role_may_be_absent(*, said: str, expected: bool) -> None:
    assert may_be_absent(said) is expected


def test_a_name_is_quoted_where_it_has_to_be() -> None:
    assert sql_name('a"b') == '"a""b"'
    assert sql_name("plain") == "plain"
