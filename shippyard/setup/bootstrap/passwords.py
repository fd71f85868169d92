"""Owns passwords of roles: where they are read, and whether the server stores that very one.

A password never goes to a server: what goes is the SCRAM verifier that libpq makes of it.
"""

import base64
import hashlib
import hmac
import stringprep
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from shippyard.host.secrets import SecretMissing, remember
from shippyard.postgres.target import target_of
from shippyard.setup.bootstrap.wanted import WantedRole

METHOD = "SCRAM-SHA-256"


@dataclass(frozen=True)
class Passwords:
    """Plain passwords by role, and why one that config names could not be read."""

    given: dict[str, str] = field(default_factory=dict, repr=False)
    unread: dict[str, str] = field(default_factory=dict)


def read_passwords(roles: Sequence[WantedRole]) -> Passwords:
    """Those that the configuration names a credential or a passfile for."""
    found = Passwords()
    for role in roles:
        try:
            secret = _password_of(role)
        except SecretMissing as error:
            found.unread[role.name] = str(error)
            continue
        if secret:
            found.given[role.name] = secret
    return found


def is_verifier_of(verifier: str | None, password: str) -> bool:
    """Whether the stored text is a SCRAM verifier of this password (RFC 5802)."""
    method, _, rest = (verifier or "").partition("$")
    try:
        head, keys = rest.split("$")
        rounds, salt = head.split(":")
        stored, _ = keys.split(":")
        salted = hashlib.pbkdf2_hmac(
            "sha256", _prepared(password), base64.b64decode(salt), int(rounds)
        )
    except ValueError:
        return False
    client = hmac.digest(salted, b"Client Key", "sha256")
    same = hmac.compare_digest(hashlib.sha256(client).digest(), base64.b64decode(stored))
    return method == METHOD and same


def verifier_for(connection: psycopg.Connection[Any], password: str) -> str:
    """What the server is to store; made here, with the server's number of rounds."""
    # SCRAM leaves the role's name out of it.
    made = connection.pgconn.encrypt_password(password.encode(), b"", METHOD.lower().encode())
    return made.decode()


def _password_of(role: WantedRole) -> str | None:
    login = role.login
    if login is None or role.database is None:
        return None
    if login.passfile:
        return _in_passfile(role)
    if login.password_credential is None:
        return None
    secret = target_of(role.database, login).password
    if not secret:
        raise SecretMissing(f"credential {login.password_credential!r} is empty; write it again")
    return secret


def _in_passfile(role: WantedRole) -> str:
    """As libpq finds it for this very login: by its own rules, before anyone is asked."""
    assert role.login is not None
    assert role.database is not None
    target = replace(target_of(role.database, role.login), password=None)
    opened = pq.PGconn.connect_start(make_conninfo(**target.conninfo()).encode())
    secret = opened.password.decode()
    opened.finish()
    if not secret:
        raise SecretMissing(
            f"{role.login.passfile} has no line for {target}, or others may read it; "
            "add host:port:database:user:password, mode 0600"
        )
    remember(secret)
    return secret


def _prepared(password: str) -> bytes:
    """As PostgreSQL prepares it (SASLprep); what that refuses is taken as it is."""
    kept = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", kept)
    return (password if any(map(_is_refused, prepared)) else prepared).encode()


def _is_refused(char: str) -> bool:
    return stringprep.in_table_c21_c22(char) or stringprep.in_table_a1(char)
