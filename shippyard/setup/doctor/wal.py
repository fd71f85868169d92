"""Owns the checks of WAL: what the server keeps and sends, and who receives it here."""

import grp
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from shippyard.backup.model import subject_of_cluster
from shippyard.backup.wal.archive import WalArchive
from shippyard.backup.wal.status import read_status
from shippyard.config.models import ClusterBackup
from shippyard.postgres.session import Row, session
from shippyard.setup.doctor.finding import Finding, Level, Patient
from shippyard.setup.doctor.programs import INCREMENTAL_SINCE

CHECK = "wal"
FRESH = timedelta(minutes=2)
SPOOL_MODE = 0o2770
SPOOL_GROUP = "postgres"

_QUESTION = Path(__file__).with_name("wal.sql").read_text()


def wal(patient: Patient) -> Iterator[Finding]:
    """Every cluster whose WAL or base backups are to be kept."""
    for cluster, database in patient.clusters():
        kept = patient.kept(cluster)
        if kept is None:
            continue
        with session(patient.target(database, database.monitor), "doctor") as opened:
            server = opened.query(_QUESTION, {"slot": kept.slot})[0]
            major = opened.server_version // 10_000
        subject = subject_of_cluster(cluster)
        yield _wal_level(subject, server)
        if patient.config.backup.incremental_schedule and kept.engine == "postgres":
            yield _summaries(subject, server, major)
        if kept.wal == "stream":
            yield from _streamed(patient, cluster, kept, server)
        elif kept.wal == "archive":
            yield from _archived(subject, kept, server)


def _wal_level(subject: str, server: Row) -> Finding:
    said = f"wal_level is {server['wal_level']}"
    if server["wal_level"] == "minimal":
        remedy = "ALTER SYSTEM SET wal_level = 'replica', and restart the server"
        return Finding(CHECK, subject, "fail", f"{said}: nothing can be recovered from it", remedy)
    return Finding(CHECK, subject, "ok", said)


def _summaries(subject: str, server: Row, major: int) -> Finding:
    if major < INCREMENTAL_SINCE:
        said = f"a server of {major} has no incremental base backups"
        return Finding(CHECK, subject, "fail", said, 'set backup.incremental_schedule = ""')
    if server["summarize_wal"] != "on":
        said = "summarize_wal is off: incremental base backups fail"
        remedy = "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf()"
        return Finding(CHECK, subject, "fail", said, remedy)
    return Finding(CHECK, subject, "ok", "WAL is summarized for incremental base backups")


def _streamed(
    patient: Patient, cluster: str, kept: ClusterBackup, server: Row
) -> Iterator[Finding]:
    subject = subject_of_cluster(cluster)
    yield _slot(subject, cluster, kept, server)
    yield _limit(subject, server)
    yield _receiver(patient, cluster)


def _slot(subject: str, cluster: str, kept: ClusterBackup, server: Row) -> Finding:
    unit = f"shippyard-wal@{cluster}"
    if not server["slot_exists"]:
        said = f"the server has no slot {kept.slot!r}: it keeps no WAL for us"
        remedy = f"systemctl enable --now {unit}, which makes it"
        return Finding(CHECK, subject, "fail", said, remedy)
    if server["slot_status"] == "lost":
        said = f"the slot {kept.slot!r} is lost: WAL is missing"
        remedy = f"systemctl restart {unit}; shippyard ctl backup run {subject} --kind base"
        return Finding(CHECK, subject, "fail", said, remedy)
    if not server["slot_active"]:
        said = f"nobody receives from the slot {kept.slot!r}; WAL piles up on the server"
        return Finding(CHECK, subject, "fail", said, f"systemctl start {unit}")
    return Finding(CHECK, subject, "ok", f"the slot {kept.slot!r} is in use")


def _limit(subject: str, server: Row) -> Finding:
    limit = server["max_slot_wal_keep_size"]
    if limit == "-1":
        said = "max_slot_wal_keep_size is not set: a receiver that is away fills the server's disk"
        remedy = "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf()"
        return Finding(CHECK, subject, "warn", said, remedy)
    return Finding(CHECK, subject, "ok", f"the slot keeps {limit} at most")


def _receiver(patient: Patient, cluster: str) -> Finding:
    subject = subject_of_cluster(cluster)
    remedy = (
        f"systemctl enable --now shippyard-wal@{cluster}; journalctl -u shippyard-wal@{cluster}"
    )
    said = read_status(WalArchive(patient.config.backup.dir, subject).folder)
    if said is None:
        return Finding(CHECK, subject, "fail", "no receiver ever ran here", remedy)
    age = patient.clock.now() - said.updated_at
    if age > FRESH:
        words = f"the receiver has said nothing since {said.updated_at:%Y-%m-%d %H:%M}Z"
        return Finding(CHECK, subject, "fail", words, remedy)
    level: Level = "ok" if said.state == "streaming" else "fail"
    why = f": {said.error}" if said.error else ""
    return Finding(CHECK, subject, level, f"the receiver is {said.state}{why}", remedy)


def _archived(subject: str, kept: ClusterBackup, server: Row) -> Iterator[Finding]:
    command = f"shippyard wal push --spool {kept.spool} %p"
    set_it = f"ALTER SYSTEM SET archive_command = '{command}'; SELECT pg_reload_conf()"
    if server["archive_mode"] == "off":
        remedy = f"ALTER SYSTEM SET archive_mode = on, restart the server; {set_it}"
        yield Finding(CHECK, subject, "fail", "archive_mode is off", remedy)
    elif "wal push" not in server["archive_command"]:
        said = f"archive_command is {server['archive_command']!r}: not ours"
        yield Finding(CHECK, subject, "fail", said, set_it)
    else:
        yield Finding(CHECK, subject, "ok", "archive_command pushes to our spool")
    yield _timeout(subject, server)
    yield _spool(subject, kept.spool)


def _timeout(subject: str, server: Row) -> Finding:
    timeout = server["archive_timeout"]
    if timeout == "0":
        said = "archive_timeout is 0: on a quiet server hours of work are never archived"
        remedy = "ALTER SYSTEM SET archive_timeout = '60s'; SELECT pg_reload_conf()"
        return Finding(CHECK, subject, "warn", said, remedy)
    return Finding(CHECK, subject, "ok", f"archived every {timeout} at least")


def _spool(subject: str, spool: Path) -> Finding:
    remedy = "systemd-tmpfiles --create shippyard-wal.conf"
    try:
        found = spool.stat()
    except OSError as error:
        return Finding(CHECK, subject, "fail", f"spool {spool}: {error.strerror}", remedy)
    mode, group = stat.S_IMODE(found.st_mode), _group_name(found.st_gid)
    said = f"the spool {spool} is {mode:04o}, of group {group}"
    if mode != SPOOL_MODE or group != SPOOL_GROUP:
        want = f"; it must be {SPOOL_MODE:04o} of {SPOOL_GROUP}"
        return Finding(CHECK, subject, "fail", said + want, remedy)
    return Finding(CHECK, subject, "ok", said)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
