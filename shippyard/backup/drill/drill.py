"""Owns one drill from its first moment to its verdict: passed, failed, or nothing found out.

Only a drill that came to its end and found nothing wrong has passed. How each kind of backup is
brought back stands beside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shippyard.backup.drill.bench import Bench, Progress, Then, Work, major_of, sandbox_tools
from shippyard.backup.drill.logical import drill_dump
from shippyard.backup.drill.model import (
    Drill,
    DrillFailed,
    DrillInterrupted,
    DrillOutcome,
    DrillRefused,
    Findings,
    Look,
)
from shippyard.backup.drill.physical import drill_base
from shippyard.backup.manifest import ManifestUnusable
from shippyard.backup.model import Backup, Kind
from shippyard.calendar.due import latest_due, parse_schedule
from shippyard.config.models import Config
from shippyard.host.process import ProcessesStopped
from shippyard.postgres.session import one_line
from shippyard.sandbox.model import SandboxFailed, SandboxUnsafe

PROBLEMS_SHOWN = 2

STEPS: Mapping[Kind, Callable[[Work], None]] = {
    "dump": drill_dump,
    "schema": drill_dump,
    "base": drill_base,
}


@dataclass(frozen=True)
class Asked:
    """The backup to drill, and what is known around it.

    `by_choice` says that somebody, or chance, chose it: then its age says nothing. `shipped_until`
    is until when everything is off the machine; `then` is called with what came back as it was.
    """

    backup: Backup
    by_choice: bool
    expected_s: Mapping[str, float]
    shipped_until: datetime | None
    then: Then | None = None


def perform(bench: Bench, drill: Drill, asked: Asked, progress: Progress) -> Drill:
    """Restore the backup, look at it and say how it went; always gives a verdict."""
    findings = Findings()
    outcome: DrillOutcome = "interrupted"
    error: str | None = None
    try:
        _restore(bench, drill, asked, findings, progress)
        findings.looks.append(Look("age", _stale(bench.config, asked, drill.started_at)))
        problems = findings.problems
        outcome, error = ("failed", _first(problems)) if problems else ("passed", None)
    except (DrillFailed, SandboxUnsafe) as failed:
        outcome, error = "failed", str(failed)
    except (DrillInterrupted, DrillRefused, SandboxFailed, ProcessesStopped) as ended:
        error = str(ended)
    except OSError as ended:
        error = one_line(ended)
    if bench.processes.stopping and outcome == "failed":
        # Programs that were ended look like programs that failed.
        outcome, error = "interrupted", "the daemon was stopping"
    return _ended(bench, drill, asked, findings, outcome=outcome, error=error)


def _restore(
    bench: Bench, drill: Drill, asked: Asked, findings: Findings, progress: Progress
) -> None:
    backup, begun = asked.backup, bench.clock.monotonic()
    major = _major(bench, backup)
    tools = sandbox_tools(bench, major, exactly=backup.kind == "base")
    deadline = begun + bench.config.backup.drill.timeout_s
    with bench.host.open(drill.id, tools) as sandbox:
        findings.phases["prepare"] = bench.clock.monotonic() - begun
        work = Work(
            bench,
            backup,
            sandbox,
            findings,
            progress,
            deadline,
            drill.started_at,
            expected_s=asked.expected_s,
        )
        STEPS[backup.kind](work)
        work.tick()
        if asked.then and not findings.problems:
            asked.then(work)


def _major(bench: Bench, backup: Backup) -> int:
    """The server's major version; of one whose files are elsewhere, what most likely was used."""
    folder = bench.backups.path(backup)
    try:
        return major_of(bench.seal.read(folder))
    except ManifestUnusable as error:
        if folder.is_dir() or bench.offsite is None:
            raise DrillFailed(f"{backup.id}: {error}") from None
    return major_of(bench.offsite.manifest(backup.id))


def _stale(config: Config, asked: Asked, now: datetime) -> tuple[str, ...]:
    """What is wrong with the age of the newest backup: its schedule promised a newer one."""
    schedules: Mapping[Kind, str] = {
        "dump": config.backup.dump_schedule,
        "schema": config.backup.schema_schedule,
        "base": config.backup.base_schedule,
    }
    schedule = schedules[asked.backup.kind]
    if asked.by_choice or not schedule:
        return ()
    grace = timedelta(seconds=config.backup.timeout_s)
    due = latest_due(parse_schedule(schedule, config.backup.timezone), now - grace)
    if asked.backup.started_at >= due:
        return ()
    said = (
        f"the newest {asked.backup.kind} backup is of {asked.backup.started_at:%Y-%m-%d %H:%M}Z, "
        f"and one was due at {due:%Y-%m-%d %H:%M}Z; see `shippyard ctl backup list --all`"
    )
    return (said,)


def _ended(
    bench: Bench,
    drill: Drill,
    asked: Asked,
    findings: Findings,
    *,
    outcome: DrillOutcome,
    error: str | None,
) -> Drill:
    told = outcome in ("passed", "failed")
    return replace(
        drill,
        outcome=outcome,
        finished_at=bench.clock.now(),
        rto_s=findings.rto_s if told and outcome == "passed" else None,
        rpo_cluster_s=_ago(drill.started_at, findings.restored_until),
        rpo_machine_s=_ago(drill.started_at, asked.shipped_until) if told else None,
        size_bytes=findings.size_bytes or asked.backup.size_bytes,
        report=findings.report(),
        error=error,
    )


def _ago(now: datetime, then: datetime | None) -> float | None:
    return max(0.0, (now - then).total_seconds()) if then else None


def _first(problems: list[str]) -> str:
    more = len(problems) - PROBLEMS_SHOWN
    return "; ".join(problems[:PROBLEMS_SHOWN]) + (f" and {more} more" if more > 0 else "")
