"""Owns which checks there are, and that one that breaks does not hide the others."""

from collections.abc import Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError

from shippyard.calendar.due import BadSchedule
from shippyard.host.process import ProcessesStopped, ProcessTimedOut
from shippyard.host.secrets import SecretMissing
from shippyard.postgres.session import QueryFailed, Unreachable, one_line
from shippyard.setup.doctor.credentials import credentials, signing_key
from shippyard.setup.doctor.elsewhere import elsewhere
from shippyard.setup.doctor.finding import AS_THE_DAEMON, Check, Finding, Level, Patient
from shippyard.setup.doctor.programs import programs
from shippyard.setup.doctor.promises import promises
from shippyard.setup.doctor.roles import cluster_roles, roles
from shippyard.setup.doctor.runners import runners
from shippyard.setup.doctor.sandboxes import sandboxes
from shippyard.setup.doctor.storage import storage
from shippyard.setup.doctor.wal import wal

CHECKS: tuple[tuple[str, Check], ...] = (
    ("credential", credentials),
    ("signing key", signing_key),
    ("backup dir", storage),
    ("tools", programs),
    ("role", roles),
    ("role", cluster_roles),
    ("wal", wal),
    ("offsite", elsewhere),
    ("sandbox", sandboxes),
    ("runner", runners),
    ("promise", promises),
)

EXPECTED = (
    Unreachable,
    QueryFailed,
    SecretMissing,
    BadSchedule,
    ProcessTimedOut,
    ProcessesStopped,
    SQLAlchemyError,
    OSError,
)
"""What may keep a check from looking; each is one line."""


def look_over(patient: Patient, checks: Sequence[tuple[str, Check]] = CHECKS) -> Iterator[Finding]:
    """Every finding, as it is found."""
    for name, check in checks:
        try:
            yield from check(patient)
        except EXPECTED as error:
            remedy = AS_THE_DAEMON if isinstance(error, PermissionError) else "mend that first"
            yield Finding(name, "", "fail", f"can't be looked at: {one_line(error)}", remedy)


def worst(findings: Sequence[Finding]) -> Level:
    """The worst of all levels."""
    levels = {finding.level for finding in findings}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"
