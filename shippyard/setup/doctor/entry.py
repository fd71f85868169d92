"""Owns what to do where PostgreSQL does not let a role in: the exact statement or line. Pure.

The reason is read from the server's own words. Where those are not known, what is usual is said.
"""

import re
from dataclasses import dataclass

from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name

USUAL = (
    "start PostgreSQL, or mend the role's password or its line in pg_hba.conf; "
    "then: SELECT pg_reload_conf()"
)
MADE_BY = "as a superuser of PostgreSQL: shippyard bootstrap --apply, which makes every role"
STREAMS = "replication"
"""What pg_hba.conf calls a session that streams, in place of a database."""

_ABSENT = re.compile(r'role ".*" does not exist')
_NOT_ADMITTED = re.compile(r"pg_hba\.conf|(Peer|Ident) authentication failed")
_FROM = re.compile(r'host "([0-9a-fA-F:.]+)')
_PLAIN_SQL = re.compile(r"[a-z_][a-z0-9_]*")
_PLAIN_HBA = re.compile(r"(?!(?:all|sameuser|samerole|samegroup|replication)$)[A-Za-z_][\w-]*")
_NOT_REPLICATING = ("replication role to start", "permission denied to start WAL sender")


@dataclass(frozen=True)
class Refused:
    """A role that was not let in; `said` is why, in libpq's words.

    `exists` is None where nobody could be asked. `into` is a database, or `STREAMS`.
    """

    said: str
    target: Target
    exists: bool | None
    into: str


def may_be_absent(said: str) -> bool:
    """Whether the words fit a role that is not there: servers hide that from who asks."""
    return bool(
        _ABSENT.search(said) or _NOT_ADMITTED.search(said) or "authentication failed" in said
    )


def remedy_for(refused: Refused) -> str:
    """What to run, and what to write, in this order."""
    steps = []
    is_absent = refused.exists is False or bool(_ABSENT.search(refused.said))
    if is_absent:
        steps.append(MADE_BY)
    if _NOT_ADMITTED.search(refused.said):
        line = hba_line(refused)
        steps.append(
            f"in pg_hba.conf, above other lines that fit: `{line}`; then: SELECT pg_reload_conf()"
        )
    elif not is_absent:
        steps.append(_of_a_role(refused))
    return "; ".join(steps)


def hba_line(refused: Refused) -> str:
    """The line of pg_hba.conf that lets the role in, from where the server saw it come."""
    target = refused.target
    by_certificate = target.sslcert and not (target.password or target.passfile)
    method = "cert" if by_certificate else "scram-sha-256"
    into = refused.into if refused.into == STREAMS else _hba_name(refused.into)
    who = f"{into}  {_hba_name(target.user)}"
    if target.host.startswith(("/", "@")):
        return f"local  {who}  {method}"
    found = _FROM.search(refused.said)
    address = found[1] if found else "ADDRESS-OF-THIS-MACHINE"
    kind = "hostssl" if by_certificate else "host"
    return f"{kind}  {who}  {address}/{128 if ':' in address else 32}  {method}"


def sql_name(name: str) -> str:
    """An identifier, quoted where it has to be."""
    return name if _PLAIN_SQL.fullmatch(name) else quoted_name(name)


def _of_a_role(refused: Refused) -> str:
    """The role is there, or may be: what it lacks."""
    role, said = sql_name(refused.target.user), refused.said
    if "password authentication failed" in said:
        return f"ALTER ROLE {role} PASSWORD '…', the one that is in its credential or passfile"
    if any(words in said for words in _NOT_REPLICATING):
        return f"ALTER ROLE {role} REPLICATION"
    if "max_wal_senders" in said:
        return "ALTER SYSTEM SET max_wal_senders = 20, or more, and restart the server"
    if "permission denied for database" in said:
        return f"GRANT CONNECT ON DATABASE {sql_name(refused.target.dbname)} TO {role}"
    return USUAL


def _hba_name(name: str) -> str:
    return name if _PLAIN_HBA.fullmatch(name) else f'"{name}"'
