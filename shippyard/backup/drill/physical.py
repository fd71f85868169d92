"""Owns a drill of a base backup: laid out, WAL replayed to the latest, promoted, looked at.

What it is compared with is production itself, read-only, where it answers: what was there when the
backup was taken and still is must have come back. The canary says until when.
"""

from shippyard.backup.drill.bench import Work
from shippyard.backup.drill.canary import read_canary
from shippyard.backup.drill.indexes import look_at_indexes
from shippyard.backup.drill.live import Live, comparable, look_at_live
from shippyard.backup.drill.model import DrillFailed, DrillRefused
from shippyard.backup.drill.objectives import said, strictest
from shippyard.backup.engines.choice import repository_for
from shippyard.backup.engines.repository import Repository
from shippyard.backup.manifest import Environment, Manifest
from shippyard.backup.model import Backup, BackupFailed
from shippyard.backup.restore.compare import environment_differences
from shippyard.backup.restore.elsewhere import (
    RepositoryWal,
    lay_out_elsewhere,
    repository_holding,
)
from shippyard.backup.restore.feeder import WalFeeder
from shippyard.backup.restore.line import HistoryUnusable
from shippyard.backup.restore.physical import (
    BaseFiles,
    LaidOut,
    RestoreRefused,
    WalSource,
    WalUnusable,
    lay_out,
    recovery_settings,
)
from shippyard.backup.restore.plan import Plan, plan_recovery
from shippyard.backup.restore.point import LATEST, PointInvalid, PointUnreachable, consistent_at
from shippyard.backup.source import environment_of
from shippyard.config.models import Database
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.sandbox.model import Recovery, SandboxFailed, SandboxUnsafe, Started

CHAIN_MAX = 1000
OF_THE_MACHINE = "collation version"
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn"


def drill_base(work: Work) -> None:
    """Restore a base backup and its WAL to the latest point and look at what came of it.

    Raises:
        DrillFailed: it can't be restored.
        DrillRefused, DrillInterrupted, SandboxFailed: nothing was found out.
    """
    live = look_at_live(_production(work))
    with work.phase("fetch"):
        files = _files(work)
        repository = _repository(work, files.manifests[-1])
        source = _wal(work, repository)
        plan = _plan(work, files.manifests[-1], source)
    work.findings.size_bytes = sum(manifest.size_bytes for manifest in files.manifests)
    with work.phase("unpack"):
        if repository:
            laid = _laid_out_elsewhere(work, repository, files.manifests[-1])
        else:
            laid = _laid_out(work, files)
    started = _recovered(work, files.manifests[-1], laid, plan, source)
    with work.phase("check"):
        _check(work, files.manifests[-1], plan, started, live)


def _production(work: Work) -> Target | None:
    """How the cluster's first database is reached."""
    return work.bench.targets.get(_databases(work)[0].name)


def _databases(work: Work) -> list[Database]:
    name = work.backup.database.removeprefix("@")
    return [each for each in work.bench.config.databases if each.cluster == name]


def _files(work: Work) -> BaseFiles:
    """The backup and what it was made on, oldest first."""
    chain: list[Backup] = [work.backup]
    try:
        while (parent := chain[0].parent) and len(chain) < CHAIN_MAX:
            chain.insert(0, work.bench.backups.find(parent))
    except BackupFailed as error:
        raise DrillFailed(f"{work.backup.id} is nothing without its parent: {error}") from None
    found = [work.files_of(backup) for backup in chain]
    return BaseFiles(tuple(f for f, _ in found), tuple(manifest for _, manifest in found))


def _repository(work: Work, base: Manifest) -> Repository | None:
    """What keeps the backup's files, when that is another engine."""

    def of(subject: str) -> Repository | None:
        return repository_for(subject, work.bench.config, work.bench.processes)

    try:
        return repository_holding(base, of)
    except RestoreRefused as error:
        raise DrillRefused(str(error)) from None


def _wal(work: Work, repository: Repository | None) -> WalSource | None:
    if repository is None:
        return work.bench.wal_of(work.backup.database)
    return RepositoryWal(repository, work.sandbox.data_dir)


def _plan(work: Work, base: Manifest, source: WalSource | None) -> Plan:
    """What will be replayed; a hole in it would end recovery early and in silence."""
    try:
        plan = plan_recovery(base, source, LATEST)
    except (HistoryUnusable, PointInvalid, PointUnreachable, WalUnusable) as error:
        raise DrillFailed(str(error)) from None
    work.look("WAL", (), f"{plan.coverage.segments} segments after the backup, without a hole")
    return plan


def _laid_out(work: Work, files: BaseFiles) -> LaidOut:
    def on_size(_: int) -> None:
        work.tick()

    try:
        return lay_out(
            files,
            work.sandbox.data_dir,
            work.sandbox.tablespace_dir,
            processes=work.bench.processes,
            tools=work.sandbox.tools,
            account=work.sandbox.account,
            jobs=work.bench.config.backup.dump.jobs,
            on_size=on_size,
            durable=False,
            timeout_s=work.left_s,
        )
    except RestoreRefused as error:
        raise DrillFailed(str(error)) from None


def _laid_out_elsewhere(work: Work, repository: Repository, base: Manifest) -> LaidOut:
    sandbox = work.sandbox
    try:
        return lay_out_elsewhere(
            repository, base, sandbox.data_dir, sandbox.tablespace_dir, account=sandbox.account
        )
    except RestoreRefused as error:
        work.tick()
        raise DrillFailed(str(error)) from None


def _recovered(
    work: Work, base: Manifest, laid: LaidOut, plan: Plan, source: WalSource | None
) -> Started:
    spool = work.sandbox.spool_dir / "wal"
    around = base.environment or Environment()
    begun = work.bench.clock.monotonic()
    try:
        with WalFeeder(source, spool, plan, laid, account=work.sandbox.account) as feeder:

            def on_tick() -> None:
                work.tick()
                work.tell("replay", f"{feeder.segments} WAL segments")
                if feeder.refused:
                    raise DrillFailed(feeder.refused)

            started = work.sandbox.start(
                recovery=Recovery(recovery_settings(plan.point, spool)),
                settings=around.settings,
                on_tick=on_tick,
            )
            work.findings.wal_bytes = feeder.check().segments * plan.segment_bytes
    except RestoreRefused as error:
        raise DrillFailed(str(error)) from None
    except SandboxUnsafe:
        raise
    except SandboxFailed as error:
        work.tick()
        raise DrillFailed(str(error)) from None
    elapsed_s = work.bench.clock.monotonic() - begun
    replay_s = min(started.replayed_s or 0.0, elapsed_s)
    work.findings.phases.update(replay=replay_s, promote=elapsed_s - replay_s)
    work.findings.differs.extend(started.differs)
    return started


def _check(work: Work, base: Manifest, plan: Plan, started: Started, live: Live | None) -> None:
    around = base.environment or Environment()
    work.superuser = _superuser(around)
    first = work.sandbox.target(_databases(work)[0].dbname, work.superuser)
    try:
        _look_at_databases(work, first)
        _look_at_timeline(work, plan, live)
        _look_at_loss(work, base, first, started)
        _look_around(work, around, live, first)
        if work.bench.config.backup.drill.amcheck:
            look_at_indexes(work, first)
    except (Unreachable, QueryFailed) as error:
        work.tick()
        raise DrillFailed(f"what was restored can't be read: {error}") from None


def _superuser(around: Environment) -> str:
    """A role of the restored cluster that may do everything, `postgres` if that is one."""
    able = [name for name, has in around.roles.items() if {"superuser", "login"} <= set(has)]
    return "postgres" if "postgres" in able or not able else able[0]


def _look_at_databases(work: Work, target: Target) -> None:
    with session(target, "drill") as opened:
        there = {row["datname"] for row in opened.query(_DATABASES)}
    wanted = [each.dbname for each in _databases(work)]
    problems = [f"database {name} did not come back" for name in wanted if name not in there]
    work.look("databases", problems, ", ".join(sorted(there)))


def _look_at_timeline(work: Work, plan: Plan, live: Live | None) -> None:
    """Recovery must have followed the history that production is on, and no other."""
    followed = plan.line.timeline
    if live is None or live.timeline is None:
        work.findings.notes.append(
            "production gave no answer: its timeline, roles and extensions now were not compared"
        )
        return
    wrong = f"WAL was replayed along timeline {followed}, production is on {live.timeline}"
    work.look("timeline", [] if followed == live.timeline else [wrong], f"timeline {followed}")


def _look_at_loss(work: Work, base: Manifest, target: Target, started: Started) -> None:
    """Until when everything is there, and whether that is less than what is promised."""
    seen = read_canary(target)
    if seen is None:
        work.findings.notes.append(
            "no canary: what would be lost is measured by the last transaction; "
            "set backup.clusters.NAME.canary"
        )
    until = seen.at if seen else started.last_transaction_at or consistent_at(base)
    work.findings.restored_until = until
    settings = work.bench.config.backup.clusters[work.backup.database.removeprefix("@")]
    if seen is None or (settings.wal == "off" and settings.engine == "postgres"):
        return
    promised_s = strictest(each.criticality for each in _databases(work)).rpo_s
    lost_s = (work.started_at - until).total_seconds()
    late = f"the newest canary in it is {said(lost_s)} old; at most {said(promised_s)} is promised"
    work.look("canary", [late] if lost_s > promised_s else [], f"of {until.isoformat()}")


def _look_around(work: Work, around: Environment, live: Live | None, target: Target) -> None:
    with session(target, "drill") as opened:
        found = environment_of(opened)
    names = target.dbname, target.dbname
    lines = list(environment_differences(comparable(around, live), found, *names))
    work.findings.notes.extend(line for line in lines if line.startswith(OF_THE_MACHINE))
    wrong = [line for line in lines if not line.startswith(OF_THE_MACHINE)]
    work.look("roles, extensions and settings", wrong)
