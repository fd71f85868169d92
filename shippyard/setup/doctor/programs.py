"""Owns the checks of PostgreSQL's programs: for each server those of its own major."""

from collections.abc import Iterator

from shippyard.config.models import ClusterBackup
from shippyard.postgres.session import session
from shippyard.postgres.tools import Tools, ToolsMissing, server_tools, tools_for
from shippyard.setup.doctor.finding import Finding, Patient

CHECK = "tools"
INCREMENTAL_SINCE = 17


def programs(patient: Patient) -> Iterator[Finding]:
    """Whether every server's backups can be made here, and restored in a sandbox."""
    for cluster, database in patient.clusters():
        with session(patient.target(database, database.monitor), "doctor") as opened:
            major = opened.server_version // 10_000
        try:
            tools = tools_for(patient.processes, major, patient.config.tools_dirs)
        except ToolsMissing as error:
            remedy = f"apt-get install postgresql-client-{major}, or name its folder in tools_dirs"
            yield Finding(CHECK, f"@{cluster}", "fail", str(error), remedy)
            continue
        yield from _of_its_major(cluster, major, tools)
        if kept := patient.kept(cluster):
            yield from _for_base_backups(patient, cluster, kept, major, tools)
    yield from _of_a_server(patient)


def _of_its_major(cluster: str, major: int, tools: Tools) -> Iterator[Finding]:
    said = f"pg_dump {tools.major} in {tools.bin_dir} for a server of {major}"
    if tools.major == major:
        yield Finding(CHECK, f"@{cluster}", "ok", said)
        return
    yield Finding(
        CHECK,
        f"@{cluster}",
        "warn",
        f"{said}: what it dumps may not go back into a server of {major}",
        f"apt-get install postgresql-client-{major}",
    )


def _for_base_backups(
    patient: Patient, cluster: str, kept: ClusterBackup, major: int, tools: Tools
) -> Iterator[Finding]:
    if kept.engine != "postgres":
        return
    needed = ["pg_basebackup", "pg_verifybackup"]
    needed += ["pg_receivewal"] if kept.wal == "stream" else []
    if patient.config.backup.incremental_schedule:
        needed += ["pg_combinebackup"] if major >= INCREMENTAL_SINCE else []
    missing = [each for each in needed if not (tools.bin_dir / each).is_file()]
    if missing:
        said = f"{tools.bin_dir} has no {', '.join(missing)}"
        remedy = f"apt-get install postgresql-client-{tools.major} postgresql-{tools.major}"
        yield Finding(CHECK, f"@{cluster}", "fail", said, remedy)
    else:
        yield Finding(CHECK, f"@{cluster}", "ok", f"{', '.join(needed)} are there")


def _of_a_server(patient: Patient) -> Iterator[Finding]:
    try:
        tools = server_tools(patient.processes, patient.config.tools_dirs)
    except ToolsMissing as error:
        said = f"nothing can be restored here to prove it: {error}"
        yield Finding(CHECK, "", "fail", said, "install PostgreSQL's server, of the same major")
    else:
        yield Finding(CHECK, "", "ok", f"a server of {tools.major} for sandboxes")
