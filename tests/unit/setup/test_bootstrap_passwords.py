"""Whether a stored verifier is of a password, and where passwords are read."""

from pathlib import Path

import pytest
from psycopg import pq

from shippyard.config.models import Database, Login
from shippyard.host.secrets import mask
from shippyard.setup.bootstrap.passwords import is_verifier_of, read_passwords
from shippyard.setup.bootstrap.wanted import WantedRole

# The example of RFC 7677, as PostgreSQL stores it.
RFC_PASSWORD = "pencil"
RFC_VERIFIER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def verifier(password: str) -> str:
    connection = pq.PGconn.connect_start(b"host=/nowhere")
    made = connection.encrypt_password(password.encode(), b"", b"scram-sha-256")
    connection.finish()
    return made.decode()


def role_with(login: Login) -> WantedRole:
    database = Database(name="shop", dbname="shop", host="/run", monitor=login, backup=login)
    return WantedRole(login.user, login=login, database=database)


def test_the_example_of_the_standard_fits() -> None:
    assert is_verifier_of(RFC_VERIFIER, RFC_PASSWORD)
    assert not is_verifier_of(RFC_VERIFIER, "pencils")


@pytest.mark.parametrize(
    "password", ["plain", "pass wörd", "\u2168\u00a0x", "a\u00adb", "ctrl\x01"]
)
def test_what_libpq_makes_is_recognised_and_another_is_not(password: str) -> None:
    assert is_verifier_of(verifier(password), password)
    assert not is_verifier_of(verifier(password), password + "x")


@pytest.mark.parametrize(
    "stored", [None, "", "md5" + "0" * 32, "SCRAM-SHA-256$x:y$z", "SCRAM$1:a$b:c"]
)
def test_what_is_no_verifier_fits_nothing(stored: str | None) -> None:
    assert not is_verifier_of(stored, "x")


def test_a_credential_is_read_and_kept_out_of_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").write_text("rosebud-7\n")
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    found = read_passwords([role_with(Login(user="app", password_credential="app"))])
    assert found.given == {"app": "rosebud-7"}
    assert "rosebud" not in repr(found)
    assert "rosebud" not in mask("it is rosebud-7")


def test_a_passfile_is_read_by_libpqs_rules(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:somebody:wrong\n/run:5432:shop:app:right\\:one\n*:*:*:app:late\n")
    file.chmod(0o600)
    assert read_passwords([role_with(Login(user="app", passfile=file))]).given == {
        "app": "right:one"
    }


def test_what_can_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(tmp_path))
    found = read_passwords(
        [
            role_with(Login(user="a", password_credential="empty")),
            role_with(Login(user="b", password_credential="absent")),
            role_with(Login(user="c", passfile=tmp_path / "none")),
            role_with(Login(user="d")),
        ]
    )
    assert found.given == {}
    assert sorted(found.unread) == ["a", "b", "c"]
    assert "is empty" in found.unread["a"]
    assert "has no line for c@" in found.unread["c"]
