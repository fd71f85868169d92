"""Owns a drill of a dump or schema: restored into an empty sandbox, compared with its manifest.

Roles come from the backup's own globals, so that one that is missing is found.
"""

from dataclasses import replace
from pathlib import Path

from shippyard.backup.drill.bench import Work
from shippyard.backup.drill.canary import read_canary
from shippyard.backup.drill.model import DrillFailed, DrillInterrupted
from shippyard.backup.manifest import Environment, Manifest
from shippyard.backup.restore.archive import RestoreFailed, RestoreInterrupted
from shippyard.backup.restore.compare import compare_content, compare_environment
from shippyard.backup.restore.logical import GLOBALS, restore_dump
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.postgres.writing import quoted_name, writing_session

COUNT = (Path(__file__).parent / "objects.sql").read_text()
COUNT_TIMEOUT_S = 60.0
SUPERUSER = "postgres"
"""The sandbox's own, which is there before any restore."""
OF_THE_MACHINE = ("collation version",)
"""Differences that say something of this machine's library, and nothing of the backup."""


def drill_dump(work: Work) -> None:
    """Restore a dump or a schema and look at what came of it.

    Raises:
        DrillFailed: it can't be restored.
        DrillInterrupted, SandboxFailed: nothing was found out.
    """
    with work.phase("fetch"):
        folder, manifest = work.files_of(work.backup)
    work.findings.size_bytes = manifest.size_bytes
    target = work.sandbox.target(manifest.source.dbname)
    with work.phase("prepare"):
        _start_empty(work, folder, manifest)
    with work.phase("restore"):
        _restore(work, folder, manifest, target)
    with work.phase("check"):
        _check(work, manifest, target)
    work.findings.restored_until = manifest.started_at


def _start_empty(work: Work, folder: Path, manifest: Manifest) -> None:
    around = manifest.environment or Environment()
    work.sandbox.create_empty(encoding=around.encoding, collation=around.collation)
    started = work.sandbox.start(settings=around.settings, on_tick=work.tick)
    work.findings.differs.extend(started.differs)
    if not any((folder / name).is_file() for name in GLOBALS):
        _make_roles(work.sandbox.target("postgres"), around)


def _make_roles(into: Target, around: Environment) -> None:
    """Names that definitions mention, where the backup holds no roles itself."""
    with writing_session(into, "drill") as opened:
        here = {row["rolname"] for row in opened.query("SELECT rolname FROM pg_roles")}
        for role, attributes in around.roles.items():
            if role not in here:
                login = " LOGIN" if "login" in attributes else ""
                opened.query(f"CREATE ROLE {quoted_name(role)}{login}")


def _restore(work: Work, folder: Path, manifest: Manifest, target: Target) -> None:
    def progress(fields: object) -> None:
        work.tick()
        message = fields.get("message") if isinstance(fields, dict) else None
        work.tell("restore", str(message or ""))

    try:
        restored = restore_dump(
            folder,
            manifest,
            target,
            processes=work.bench.processes,
            tools=work.sandbox.tools,
            jobs=work.bench.config.backup.dump.jobs,
            timeout_s=work.left_s,
            progress=progress,
            scratch=work.sandbox.spool_dir,
            clock=work.bench.clock,
        )
    except RestoreInterrupted as error:
        raise DrillInterrupted(str(error)) from None
    except (RestoreFailed, Unreachable, QueryFailed) as error:
        work.tick()
        raise DrillFailed(str(error)) from None
    work.findings.notes.extend(restored.notes)


def _check(work: Work, manifest: Manifest, target: Target) -> None:
    try:
        _look_at_objects(work, manifest, target)
        if manifest.kind == "dump":
            _look_at_content(work, manifest, target)
        around = _comparable(manifest)
        lines = compare_environment(around, target)
        work.findings.notes.extend(line for line in lines if line.startswith(OF_THE_MACHINE))
        wrong = [line for line in lines if not line.startswith(OF_THE_MACHINE)]
        work.look("roles, extensions, settings and revision", wrong)
        if manifest.kind == "dump" and (seen := read_canary(target)):
            work.findings.notes.append(f"the canary in it is of {seen.at.isoformat()}")
    except (Unreachable, QueryFailed) as error:
        work.tick()
        raise DrillFailed(f"what was restored can't be read: {error}") from None


def _look_at_objects(work: Work, manifest: Manifest, target: Target) -> None:
    with session(target, "drill") as opened:
        counts = opened.query(COUNT, timeout_s=COUNT_TIMEOUT_S)[0]
    tables, promised = counts["tables"], manifest.source.table_count
    problems = [] if tables == promised else [f"{tables} tables came back, there were {promised}"]
    said = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    work.look("objects", problems, said)


def _look_at_content(work: Work, manifest: Manifest, target: Target) -> None:
    if manifest.content is None:
        work.findings.notes.append("the backup has no digests: only its restore was proven")
        return
    limit_s = min(work.left_s, work.bench.config.backup.dump.digest_timeout_s)
    problems = compare_content(manifest, target, work.bench.clock, timeout_s=limit_s)
    tables = manifest.content.tables
    digests = sum(1 for table in tables if table.digest)
    rows = sum(table.rows for table in tables)
    work.look("content", problems, f"{digests} of {len(tables)} tables by digest, {rows} rows")


def _comparable(manifest: Manifest) -> Manifest:
    """Without what is not the backup's to bring back: what a sandbox leaves out or has of its own.

    A schema has no rows, so no revision, and no roles.
    """
    is_dump = manifest.kind == "dump"
    revision = manifest.source.alembic_revision if is_dump else None
    around = manifest.environment
    return replace(
        manifest,
        source=replace(manifest.source, alembic_revision=revision),
        environment=_brought_back(around, with_roles=is_dump) if around else None,
    )


def _brought_back(around: Environment, *, with_roles: bool) -> Environment:
    settings = around.role_settings if with_roles else {}
    return replace(
        around,
        preload_libraries=(),
        roles={n: a for n, a in around.roles.items() if with_roles and n != SUPERUSER},
        role_settings={n: s for n, s in settings.items() if n.partition("/")[2] != SUPERUSER},
    )
