"""Owns the checks of roles: that each can log in and may do what it is for, and no superuser."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from shippyard.backup.drill.canary import setup_statements
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.rights import lacks, look_at_rights
from shippyard.config.models import Database, Login
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.replication import replication_session
from shippyard.postgres.session import QueryFailed, Row, Session, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.setup.doctor.entry import (
    STREAMS,
    Refused,
    may_be_absent,
    remedy_for,
)
from shippyard.setup.doctor.finding import Finding, Patient

CHECK = "role"

_MAY_WRITE = """
    SELECT coalesce(has_table_privilege(to_regclass('shippyard.canary'), 'UPDATE'), false)
        OR has_database_privilege(current_database(), 'CREATE') AS may
"""

Look = Callable[[Database, Session], Iterator[Finding]]
"""What a role's session in a database says of it; nothing when all is well."""

_QUESTION = Path(__file__).with_name("roles.sql").read_text()
_NAMED = "SELECT rolname FROM pg_roles WHERE rolname = %(name)s"


@dataclass(frozen=True)
class Door:
    """A login and what it asks to be let into: a database, or `STREAMS`."""

    patient: Patient
    database: Database
    login: Login
    subject: str
    into: str


def roles(patient: Patient) -> Iterator[Finding]:
    """Monitor, backup and migrator of every database."""
    for database in patient.config.databases:
        for login, look in (
            (database.monitor, _monitor),
            (database.backup, _backup(patient)),
            (database.migrator, _migrator),
        ):
            if login:
                yield from _asked(patient, database, login, look)


def cluster_roles(patient: Patient) -> Iterator[Finding]:
    """The role that streams, and the one that writes the canary."""
    for cluster, database in patient.clusters():
        kept = patient.kept(cluster)
        if kept and kept.replication:
            yield from _replication(patient, cluster, database, kept.replication)
        if kept and kept.canary:
            canary = kept.canary
            yield from _asked(patient, database, canary, _canary(patient, canary))


def _asked(patient: Patient, database: Database, login: Login, look: Look) -> Iterator[Finding]:
    """What a role's own session says of it; not being let in is a finding like any other."""

    def ask(target: Target) -> list[Finding]:
        with session(target, "doctor") as opened:
            return list(look(database, opened))

    well = f"{login.user} may do what it is for"
    door = Door(patient, database, login, subject=database.name, into=database.dbname)
    yield from _through(door, ask, well)


def _through(door: Door, ask: Callable[[Target], list[Finding]], well: str) -> Iterator[Finding]:
    """What was found behind the door; `well` when nothing was, and how to open it when shut."""
    try:
        target = door.patient.target(door.database, door.login)
    except SecretMissing as error:
        said = f"{door.login.user} was not tried: {error}"
        yield Finding(CHECK, door.subject, "fail", said, "mend that credential, and look again")
        return
    try:
        found = ask(target)
    except (Unreachable, QueryFailed) as error:
        remedy = _opening(door, target, str(error))
        yield Finding(CHECK, door.subject, "fail", f"{door.login.user}: {error}", remedy)
        return
    yield from found or [Finding(CHECK, door.subject, "ok", well)]


def _opening(door: Door, target: Target, said: str) -> str:
    exists = _exists(door) if may_be_absent(said) else None
    return remedy_for(Refused(said, target, exists, door.into))


def _exists(door: Door) -> bool | None:
    """Whether there is such a role, by another one that is let in; None when none is."""
    database = door.database
    for login in (database.monitor, database.backup, database.migrator):
        if login and login.user != door.login.user:
            with (
                contextlib.suppress(Unreachable, QueryFailed, SecretMissing),
                session(door.patient.target(database, login), "doctor") as opened,
            ):
                return bool(opened.query(_NAMED, {"name": door.login.user}))
    return None


def _monitor(database: Database, opened: Session) -> Iterator[Finding]:
    row = _row(opened)
    if not row["may_monitor"]:
        said = f"{row['role']} sees only its own sessions"
        yield Finding(CHECK, database.name, "fail", said, f"GRANT pg_monitor TO {row['role']}")
    yield from _too_mighty(database, row)


def _backup(patient: Patient) -> Look:
    with_passwords = patient.config.backup.dump.role_passwords

    def look(database: Database, opened: Session) -> Iterator[Finding]:
        rights = look_at_rights(opened)
        for lack in lacks(rights, "dump", with_passwords=with_passwords):
            said = f"{rights.role} {lack.what}"
            yield Finding(CHECK, database.name, "fail", said, lack.remedy)
        yield from _too_mighty(database, _row(opened))

    return look


def _migrator(database: Database, opened: Session) -> Iterator[Finding]:
    row = _row(opened)
    if not row["may_create"]:
        said = f"{row['role']} may create nothing in {row['database']}"
        remedy = f"ALTER DATABASE {row['database']} OWNER TO {row['role']}"
        yield Finding(CHECK, database.name, "fail", said, remedy)
    if not row["bypasses_rls"]:
        said = f"{row['role']} is refused by row-level security where it is forced"
        yield Finding(CHECK, database.name, "warn", said, f"ALTER ROLE {row['role']} BYPASSRLS")


def _canary(patient: Patient, login: Login) -> Look:
    def look(database: Database, opened: Session) -> Iterator[Finding]:
        if not opened.query(_MAY_WRITE)[0]["may"]:
            said = f"{login.user} can't write its row: drills could not say what is lost"
            remedy = setup_statements(patient.target(database, login))
            yield Finding(CHECK, database.name, "fail", said, remedy)

    return look


def _replication(
    patient: Patient, cluster: str, database: Database, login: Login
) -> Iterator[Finding]:
    """It streams, and holds locks in ordinary sessions: pg_hba.conf asks a line for each."""
    stream = Door(
        patient,
        database,
        login,
        subject=subject_of_cluster(cluster),
        into=STREAMS,
    )
    yield from _through(stream, _streams, f"{login.user} may stream")
    ordinary = replace(stream, into=database.dbname)
    yield from _through(ordinary, _opens, f"{login.user} may open sessions in {database.dbname}")


def _streams(target: Target) -> list[Finding]:
    with replication_session(target, "doctor") as opened:
        opened.identify()
    return []


def _opens(target: Target) -> list[Finding]:
    with session(target, "doctor"):
        return []


def _too_mighty(database: Database, row: Row) -> Iterator[Finding]:
    if row["is_superuser"]:
        said = f"{row['role']} is a superuser, which it need not be"
        yield Finding(CHECK, database.name, "warn", said, f"ALTER ROLE {row['role']} NOSUPERUSER")


def _row(opened: Session) -> Row:
    return opened.query(_QUESTION)[0]
