"""Owns the checks of roles: that each can log in and may do what it is for, and no superuser."""

from collections.abc import Callable, Iterator
from pathlib import Path

from shippyard.backup.drill.canary import setup_statements
from shippyard.backup.rights import lacks, look_at_rights
from shippyard.config.models import Database, Login
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.replication import replication_session
from shippyard.postgres.session import QueryFailed, Row, Session, Unreachable, session
from shippyard.setup.doctor.finding import Finding, Patient

CHECK = "role"
HBA = (
    "start PostgreSQL, or mend the role's password or its line in pg_hba.conf; "
    "then: SELECT pg_reload_conf()"
)

_MAY_WRITE = """
    SELECT coalesce(has_table_privilege(to_regclass('shippyard.canary'), 'UPDATE'), false)
        OR has_database_privilege(current_database(), 'CREATE') AS may
"""

Look = Callable[[Database, Session], Iterator[Finding]]
"""What a role's session in a database says of it; nothing when all is well."""

_QUESTION = Path(__file__).with_name("roles.sql").read_text()


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
            yield _replication(patient, cluster, database, kept.replication)
        if kept and kept.canary:
            yield from _asked(patient, database, kept.canary, _canary(patient, kept.canary))


def _asked(patient: Patient, database: Database, login: Login, look: Look) -> Iterator[Finding]:
    """What a role's own session says of it; not being let in is a finding like any other."""
    try:
        with session(patient.target(database, login), "doctor") as opened:
            found = list(look(database, opened))
    except (Unreachable, QueryFailed, SecretMissing) as error:
        yield Finding(CHECK, database.name, "fail", str(error), HBA)
        return
    yield from found or [Finding(CHECK, database.name, "ok", f"{login.user} may do what it is for")]


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


def _replication(patient: Patient, cluster: str, database: Database, login: Login) -> Finding:
    subject = f"@{cluster}"
    try:
        with replication_session(patient.target(database, login), "doctor") as opened:
            opened.identify()
    except (Unreachable, QueryFailed, SecretMissing) as error:
        remedy = (
            f"ALTER ROLE {login.user} REPLICATION, a `host replication` line in pg_hba.conf, "
            "and max_wal_senders above what streams"
        )
        return Finding(CHECK, subject, "fail", f"{login.user}: {error}", remedy)
    return Finding(CHECK, subject, "ok", f"{login.user} may stream")


def _too_mighty(database: Database, row: Row) -> Iterator[Finding]:
    if row["is_superuser"]:
        said = f"{row['role']} is a superuser, which it need not be"
        yield Finding(CHECK, database.name, "warn", said, f"ALTER ROLE {row['role']} NOSUPERUSER")


def _row(opened: Session) -> Row:
    return opened.query(_QUESTION)[0]
