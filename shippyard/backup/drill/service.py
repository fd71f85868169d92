"""Owns what the daemon may ask of drills: run one, list them, forecast a restore.

Keeps the metrics and the alerts on drills true. One drill runs at a time: they are heavy, and two
would measure each other.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from shippyard.backup.drill.bench import Backups, Bench, Fetching, Progress, Then, WalOf
from shippyard.backup.drill.drill import Asked, perform
from shippyard.backup.drill.forecast import Past, forecast_by_phase, forecast_s
from shippyard.backup.drill.gauges import DrillGauges
from shippyard.backup.drill.model import (
    Drill,
    DrillReason,
    DrillRefused,
    choose_older,
    new_drill_id,
    past_of,
)
from shippyard.backup.drill.objectives import OBJECTIVES, judge_time, strictest
from shippyard.backup.drill.store import DrillStore
from shippyard.backup.drill.watch import Arrivals, NoArrivals
from shippyard.backup.model import Backup, BackupFailed, Kind, kinds_of, subject_of_cluster
from shippyard.backup.seal import seal_of
from shippyard.config.models import Config
from shippyard.host.clock import Clock
from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.sandbox.model import SandboxHost
from shippyard.state.database import State
from shippyard.telemetry.condition import Condition, Tell
from shippyard.telemetry.metrics import Metrics

PAST_LOOKED_AT = 20

log = structlog.get_logger(__name__)


class Drills:
    """The drills of one configuration. Safe from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        processes: Processes,
        state: State,
        metrics: Metrics,
        clock: Clock,
        tell: Tell,
        backups: Backups,
        host: SandboxHost,
        wal_of: WalOf = lambda _: None,
        offsite: Fetching | None = None,
        targets: Mapping[str, Target] | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        """`wal_of` gives a cluster's kept WAL; `targets` reach production by database, to compare.

        `arrivals` say until when WAL is here and off the machine.
        """
        self._config = config
        self._clock = clock
        self._tell = tell
        self._backups = backups
        self._host = host
        self._wal_of = wal_of
        self._store = DrillStore(state)
        self._arrivals = arrivals or NoArrivals()
        self._bench = Bench(
            config, processes, clock, seal_of(config), host, backups, wal_of, offsite, targets or {}
        )
        self._one = threading.Lock()
        self.gauges = DrillGauges(metrics)

    def recover(self) -> list[str]:
        """At start: sweep what a dead daemon left; gives the drills it had not ended."""
        self._host.sweep()
        ids = self._store.interrupt_running(self._clock.now())
        self.refresh()
        return ids

    def subjects(self) -> list[str]:
        """What can be drilled: databases, and clusters with base backups."""
        clusters = map(subject_of_cluster, self._config.backup.clusters)
        return [*(database.name for database in self._config.databases), *clusters]

    def run(
        self,
        subject: str,
        kind: Kind,
        reason: DrillReason = "manual",
        *,
        backup_id: str | None = None,
        older: bool = False,
        progress: Progress = lambda _: None,
        then: Then | None = None,
    ) -> Drill:
        """Drill the newest backup of a kind, a given one, or an older one by chance.

        `then` is called with what came back as it was, while it stands.

        Raises:
            BackupUnknown: no backup has the id that was given.
            DrillRefused: there is none, or a drill runs already.
        """
        if not self._one.acquire(blocking=False):
            raise DrillRefused("a drill runs already; see `shippyard ctl drill list`")
        try:
            return self._run(subject, kind, reason, backup_id, progress, older=older, then=then)
        finally:
            self._one.release()

    def history(self, subject: str | None = None, *, limit: int = 200) -> list[Drill]:
        """Drills of one subject, or of all, newest first."""
        return self._store.all(subject, limit=limit)

    def find(self, drill_id: str) -> Drill:
        """The drill with this id.

        Raises:
            DrillRefused: there is none.
        """
        found = self._store.get(drill_id)
        if found is None:
            raise DrillRefused(f"no drill {drill_id!r}; see `shippyard ctl drill list`")
        return found

    def forecast(
        self, subject: str, kind: Kind, size_bytes: int, wal_bytes: int = 0
    ) -> float | None:
        """Seconds that a restore of this size would take; None before any drill passed."""
        return forecast_s(self._past(subject, kind), size_bytes, wal_bytes)

    def last(self, subject: str, kind: Kind) -> Drill | None:
        """The newest drill that found something out, or None."""
        return next(iter(self._store.ended(subject, kind, "passed", "failed", limit=1)), None)

    def forecast_now(self, subject: str, kind: Kind) -> float | None:
        """Seconds to restore the newest backup of a kind; None without one, or without a drill."""
        counted = self._counted(subject, kind)
        size_bytes = counted[0].size_bytes if counted else None
        past = self._past(subject, kind) if size_bytes is not None else []
        wal_bytes = max((each.wal_bytes for each in past), default=0)
        return forecast_s(past, size_bytes or 0, wal_bytes)

    def older_exists(self, subject: str, kind: Kind) -> bool:
        """Whether there is more than one backup that counts."""
        return len(self._counted(subject, kind)) > 1

    def kinds(self, subject: str) -> tuple[Kind, ...]:
        """The kinds of a subject of which there is a backup that counts."""
        return tuple(kind for kind in kinds_of(subject) if self._counted(subject, kind))

    def refresh(self) -> None:
        """Set the gauges and tell the alerts what is remembered; fine at any time."""
        for subject in self.subjects():
            self._show(subject)
        self._tell_time()

    def forget_metrics(self, subjects: Iterable[str]) -> None:
        """Say nothing more of subjects that left the configuration."""
        self.gauges.forget((subject, kinds_of(subject)) for subject in subjects)

    def _run(
        self,
        subject: str,
        kind: Kind,
        reason: DrillReason,
        backup_id: str | None,
        progress: Progress,
        *,
        older: bool,
        then: Then | None,
    ) -> Drill:
        drill_id = new_drill_id(self._clock.now())
        backup = self._chosen(subject, kind, backup_id, drill_id, older=older)
        expected = forecast_by_phase(self._past(subject, kind), backup.size_bytes or 0)
        asked = Asked(
            backup,
            by_choice=backup_id is not None or older,
            expected_s=expected,
            shipped_until=self._shipped_until(backup),
            then=then,
        )
        begun = Drill(
            drill_id, backup.id, backup.database, backup.kind, reason, self._clock.now(), "running"
        )
        self._store.begin(begun)
        ended = replace(begun, outcome="interrupted", error="the daemon ended")
        try:
            ended = perform(self._bench, begun, asked, progress)
        finally:
            self._store.finish(ended, keep=self._config.backup.drill.keep_reports)
            self._note(ended)
        return ended

    def _chosen(
        self, subject: str, kind: Kind, backup_id: str | None, drill_id: str, *, older: bool
    ) -> Backup:
        if backup_id is not None:
            return self._given(backup_id)
        counted = self._counted(subject, kind)
        if not counted:
            raise DrillRefused(
                f"no verified {kind} backup of {subject}; "
                f"run `shippyard ctl backup run {subject} --kind {kind}`"
            )
        if not older:
            return counted[0]
        chosen = choose_older(counted, drill_id)
        if chosen is None:
            raise DrillRefused(f"there is only one {kind} backup of {subject}; leave out --older")
        return chosen

    def _given(self, backup_id: str) -> Backup:
        backup = self._backups.find(backup_id)
        if not backup.counts:
            raise DrillRefused(f"{backup_id} is {backup.state}: only published ones are drilled")
        return backup

    def _counted(self, subject: str, kind: Kind) -> Sequence[Backup]:
        return [b for b in self._backups.history(subject) if b.counts and b.kind == kind]

    def _shipped_until(self, backup: Backup) -> datetime | None:
        """Until when all is off the machine, by WAL or by the newest backup of the kind."""
        away = next(
            (b for b in self._counted(backup.database, backup.kind) if b.replicated_at), None
        )
        if away is None:
            return None
        wal = self._arrivals.shipped(backup.database) if backup.kind == "base" else None
        return max(away.started_at, wal or away.started_at)

    def _past(self, subject: str, kind: Kind) -> list[Past]:
        """Of this subject, else of any: another database on this machine says something, too."""
        for whose in (subject, None):
            if found := self._store.ended(whose, kind, "passed", limit=PAST_LOOKED_AT):
                return [past_of(drill) for drill in found]
        return []

    def _note(self, drill: Drill) -> None:
        log.info(
            "drill.finished",
            id=drill.id,
            outcome=drill.outcome,
            backup=drill.backup_id,
            database=drill.database,
            kind=drill.kind,
            rto_s=drill.rto_s,
            rpo_cluster_s=drill.rpo_cluster_s,
            error=drill.error,
        )
        if drill.is_told and drill.finished_at:
            detail = drill.error or f"{drill.id}: ready in {drill.rto_s or 0:.1f} s"
            try:
                self._backups.mark_drilled(
                    drill.backup_id, drill.finished_at, ok=drill.outcome == "passed", detail=detail
                )
            except BackupFailed as error:
                log.warning("drill.not_noted", id=drill.id, error=str(error))
        self._show(drill.database)
        self._tell_time()

    def _show(self, subject: str) -> None:
        problems: dict[Kind, Drill] = {}
        for kind in kinds_of(subject):
            last = self.last(subject, kind)
            passed = next(iter(self._store.ended(subject, kind, "passed", limit=1)), None)
            self.gauges.show(subject, kind, last, passed)
            if last and last.outcome == "failed":
                problems[kind] = last
        self._tell(_failed_condition(subject, problems))

    def _tell_time(self) -> None:
        """Compare what a restore would take, the quickest way there is, with what is promised."""
        by_subject = {subject: self._forecasts(subject) for subject in self.subjects()}
        for database in self._config.databases:
            cluster = by_subject.get(subject_of_cluster(database.cluster), {})
            dump = {k: v for k, v in by_subject[database.name].items() if k == "dump"}
            ways = [*dump.values(), *cluster.values()]
            quickest = min(ways, default=None)
            summary = judge_time(quickest, OBJECTIVES[database.criticality])
            evidence = {"forecast_s": quickest}
            self._tell(Condition("restore_slow", database.name, summary, evidence=evidence))
        for name in self._config.backup.clusters:
            subject = subject_of_cluster(name)
            members = [d.criticality for d in self._config.databases if d.cluster == name]
            summary = judge_time(by_subject[subject].get("base"), strictest(members))
            self._tell(Condition("restore_slow", subject, summary))

    def _forecasts(self, subject: str) -> dict[Kind, float]:
        """Of each kind of which there is a backup and a drill that passed."""
        found: dict[Kind, float] = {}
        for kind in kinds_of(subject):
            seconds = self.forecast_now(subject, kind)
            self.gauges.show_forecast(subject, kind, seconds)
            if seconds is not None:
                found[kind] = seconds
        return found


def _failed_condition(subject: str, failed: Mapping[Kind, Drill]) -> Condition:
    """One word on all kinds of a subject: it is well when the last drill of each is."""
    if not failed:
        return Condition("drill_failed", subject, None)
    drill = next(iter(failed.values()))
    summary = (
        f"drill of {drill.backup_id} failed: {drill.error}; "
        f"see `shippyard ctl drill show {drill.id}`"
    )
    evidence: dict[str, str] = {kind: each.id for kind, each in failed.items()}
    return Condition("drill_failed", subject, summary, evidence=evidence)
