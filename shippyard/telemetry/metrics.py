"""Owns the declaration of every metric of the daemon itself: once, with name, help and labels.

Metrics of health checks are declared in the checks' own files and served by `exposition`.
A gauge that is unknown is removed, never left at its last value.
"""

import sys

from shippyard import __version__
from shippyard.telemetry.instruments import Instruments


class Metrics(Instruments):
    """One instrument per attribute, all on one registry."""

    def __init__(self) -> None:
        super().__init__()
        self._declare_daemon()
        self._declare_health()
        self._declare_backup()
        self._declare_drill()
        self._declare_wal()
        self._declare_offsite()
        self._declare_alerting()
        self._declare_migration()

    def _declare_daemon(self) -> None:
        build = self._gauge(
            "shippyard_build_info", "Always 1; the labels say what runs.", "version", "python"
        )
        build.labels(__version__, ".".join(map(str, sys.version_info[:3]))).set(1)
        self.config_reload_success = self._gauge(
            "shippyard_config_last_reload_successful", "1 if the configuration was last read well."
        )
        self.config_reload_time = self._gauge(
            "shippyard_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read well.",
        )
        self.loops_stuck = self._gauge(
            "shippyard_daemon_stuck_loops", "Loops of the daemon that missed their turn."
        )
        self.job_last_success = self._gauge(
            "shippyard_job_last_success_timestamp_seconds",
            "When a scheduled job last ended well.",
            "job_name",  # `job` is Prometheus's own label: it would become `exported_job`
        )
        self.job_runs = self._counter(
            "shippyard_job_runs_total",
            "Scheduled jobs that ended, by outcome.",
            "job_name",
            "outcome",
        )
        self.job_next_due = self._gauge(
            "shippyard_job_next_due_timestamp_seconds",
            "When a scheduled job is next due.",
            "job_name",
        )
        self.control_requests = self._counter(
            "shippyard_control_requests_total",
            "Requests on the control socket, by method and outcome.",
            "method",
            "outcome",
        )

    def _declare_health(self) -> None:
        # No histogram: that is eight series for each check of each database, most of a scrape.
        self.check_duration = self._gauge(
            "shippyard_health_check_duration_seconds",
            "How long the newest run of a check took, as the daemon saw it.",
            "database",
            "check",
        )
        self.check_last_success = self._gauge(
            "shippyard_health_check_last_success_timestamp_seconds",
            "When a check last gave an answer.",
            "database",
            "check",
        )
        self.check_errors = self._counter(
            "shippyard_health_check_errors_total",
            "Checks that gave no answer, by kind of error.",
            "database",
            "check",
            "error",
        )
        self.check_unavailable = self._gauge(
            "shippyard_health_check_unavailable",
            "1 if a check can't be asked here, for want of an extension or a right.",
            "database",
            "check",
            "reason",
        )
        self.series_folded = self._gauge(
            "shippyard_health_check_folded_samples",
            "Samples of a check's newest answer that are not shown by themselves.",
            "database",
            "check",
        )
        self.alert_threshold = self._gauge(
            "shippyard_health_alert_threshold",
            "The value of a check's alert rule from which on it is one, as configured here.",
            "rule",
        )
        self.alert_for = self._gauge(
            "shippyard_health_alert_for_seconds",
            "How long a check's alert rule must hold before anybody is told, as configured here.",
            "rule",
        )
        self.database_up = self._gauge(
            "shippyard_health_database_up",
            "1 if the last poll of the database got an answer, 0 if it got none.",
            "database",
        )

    def _declare_backup(self) -> None:
        labels = ("database", "kind")
        self.backup_last_success = self._gauge(
            "shippyard_backup_last_success_timestamp_seconds",
            "When the newest published backup was started.",
            *labels,
        )
        self.backup_last_size = self._gauge(
            "shippyard_backup_last_size_bytes", "Size of the newest published backup.", *labels
        )
        self.backup_last_duration = self._gauge(
            "shippyard_backup_last_duration_seconds",
            "How long the newest published backup took, verification included.",
            *labels,
        )
        self.backup_count = self._gauge(
            "shippyard_backup_published", "Published backups that are kept.", *labels
        )
        self.backup_runs = self._counter(
            "shippyard_backup_runs_total",
            "Backups that ended, by outcome.",
            *labels,
            "outcome",
        )
        self.backup_deleted = self._counter(
            "shippyard_backup_deleted_total", "Backups that retention deleted.", *labels
        )

    def _declare_drill(self) -> None:
        labels = ("database", "kind")
        self.drill_last_success = self._gauge(
            "shippyard_backup_drill_last_success_timestamp_seconds",
            "When a backup was last restored and found equal to what it was taken of.",
            *labels,
        )
        self.drill_success = self._gauge(
            "shippyard_backup_drill_success",
            "1 if the last drill passed, 0 if it failed.",
            *labels,
        )
        self.drill_rto = self._gauge(
            "shippyard_backup_drill_rto_seconds",
            "How long the last drill took to a database that reads and writes, by phase.",
            *labels,
            "phase",
        )
        self.drill_rpo = self._gauge(
            "shippyard_backup_drill_rpo_seconds",
            "What the last drill would have lost, when the cluster or the whole machine is lost.",
            *labels,
            "loss",
        )
        self.restore_forecast = self._gauge(
            "shippyard_backup_restore_forecast_seconds",
            "How long a restore of the newest backup would take now, from past drills.",
            *labels,
        )
        self.loss_now = self._gauge(
            "shippyard_backup_rpo_seconds",
            "How much would be lost now, when the cluster or the whole machine is lost.",
            "database",
            "loss",
        )
        self.objective = self._gauge(
            "shippyard_backup_objective_seconds",
            "What is promised by the database's criticality.",
            "database",
            "objective",
        )

    def _declare_wal(self) -> None:
        self.wal_received = self._gauge(
            "shippyard_backup_wal_received_timestamp_seconds",
            "When WAL last arrived and was flushed.",
            "cluster",
        )
        self.wal_gaps = self._gauge(
            "shippyard_backup_wal_gaps", "Gaps in the WAL that is kept.", "cluster"
        )
        self.wal_scanned = self._gauge(
            "shippyard_backup_wal_scan_last_success_timestamp_seconds",
            "When all WAL that is kept was last looked at.",
            "cluster",
        )
        self.wal_slot_retained = self._gauge(
            "shippyard_backup_wal_slot_retained_bytes",
            "WAL that the server keeps for our slot.",
            "cluster",
        )
        self.wal_segments = self._gauge(
            "shippyard_backup_wal_segments", "Whole WAL segments that are kept.", "cluster"
        )

    def _declare_offsite(self) -> None:
        self.offsite_last_success = self._gauge(
            "shippyard_backup_offsite_last_success_timestamp_seconds",
            "When the newest backup whose copy off the machine was read back was started.",
            "database",
            "kind",
        )
        self.offsite_wal_shipped = self._gauge(
            "shippyard_backup_offsite_wal_shipped_timestamp_seconds",
            "Until when WAL is off the machine.",
            "cluster",
        )
        self.offsite_errors = self._counter(
            "shippyard_backup_offsite_errors_total",
            "Attempts to copy off the machine that failed.",
            "what",
        )

    def _declare_alerting(self) -> None:
        self.incidents_open = self._gauge(
            "shippyard_alerting_incidents", "Open incidents, by rule and state.", "rule", "state"
        )
        self.deliveries = self._counter(
            "shippyard_alerting_deliveries_total",
            "Attempts to deliver a message, by route and outcome.",
            "route",
            "outcome",
        )
        self.outbox_queued = self._gauge(
            "shippyard_alerting_outbox_messages", "Messages not delivered yet.", "route"
        )
        self.outbox_dead = self._gauge(
            "shippyard_alerting_outbox_dead_messages", "Messages given up on.", "route"
        )
        self.heartbeat_sent = self._gauge(
            "shippyard_alerting_heartbeat_timestamp_seconds",
            "When a route's dead man's switch was last told that all goes on.",
            "route",
        )
        self.silences = self._gauge(
            "shippyard_alerting_silenced_incidents", "Open incidents that nobody is told of."
        )

    def _declare_migration(self) -> None:
        self.migration_runs = self._counter(
            "shippyard_migration_runs_total",
            "Migration runs that ended, by outcome.",
            "database",
            "outcome",
        )
        self.migration_running = self._gauge(
            "shippyard_migration_running", "1 while a migration runs.", "database"
        )
        self.migration_last_success = self._gauge(
            "shippyard_migration_last_success_timestamp_seconds",
            "When a migration run last ended well.",
            "database",
        )
        self.migration_lock_retries = self._counter(
            "shippyard_migration_lock_retries_total",
            "Attempts given up because a lock was not free in time.",
            "database",
        )
        self.migration_watchdog = self._counter(
            "shippyard_migration_watchdog_cancels_total",
            "Statements of ours cancelled because somebody waited for them too long.",
            "database",
        )
        self.migration_blocked_by = self._counter(
            "shippyard_migration_blocked_total",
            "Runs that a gate did not let through, by gate.",
            "database",
            "gate",
        )
        self.migration_approvals_open = self._gauge(
            "shippyard_migration_approvals_waited_for",
            "Plans whose approval was asked for and not given yet.",
            "database",
        )
        self._declare_rehearsal()
        self._declare_schema()

    def _declare_rehearsal(self) -> None:
        self.rehearsals = self._counter(
            "shippyard_rehearsal_runs_total",
            "Rehearsals that ended, by outcome.",
            "database",
            "outcome",
        )
        self.rehearsal_last_success = self._gauge(
            "shippyard_rehearsal_last_success_timestamp_seconds",
            "When a rehearsal last passed.",
            "database",
        )
        self.rehearsal_duration = self._gauge(
            "shippyard_rehearsal_last_duration_seconds",
            "How long the last rehearsal took, its restore included.",
            "database",
        )

    def _declare_schema(self) -> None:
        self.schema_differences = self._gauge(
            "shippyard_schema_drift_objects",
            "Objects that are not as the last run left them.",
            "database",
        )
        self.schema_looked_at = self._gauge(
            "shippyard_schema_last_looked_at_timestamp_seconds",
            "When the schema was last compared with what the last run left.",
            "database",
        )
        backfill = ("database", "backfill")
        self.backfill_rows = self._gauge(
            "shippyard_backfill_rows", "Rows that a backfill has done.", *backfill
        )
        self.backfill_left = self._gauge(
            "shippyard_backfill_left_rows", "Rows that a backfill has left, estimated.", *backfill
        )
        self.backfill_moved_at = self._gauge(
            "shippyard_backfill_last_moved_timestamp_seconds",
            "When a backfill last finished a batch.",
            *backfill,
        )
