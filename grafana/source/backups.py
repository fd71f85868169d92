"""Owns the page of backups: are there any, do they restore, how soon, and what would be lost?"""

from grafana.source.limits import of_check, of_rule
from grafana.source.model import Ask, Page, Panel, Row, Step, chart, light

PAGE = Page(
    "shippyard-backups",
    "Shippyard: backups",
    "A backup counts once it was restored and found equal; everything else is hope.",
    (
        Row(
            "Would they bring it back?",
            (
                light(
                    "Oldest newest dump",
                    "Age of the newest dump of the database that has waited longest.",
                    "s",
                    'max(time() - shippyard_backup_last_success_timestamp_seconds{@, kind="dump"})',
                    *of_rule("ShippyardBackupLate"),
                ),
                light(
                    "Last drills",
                    "1 when the last restore of every kind of backup was found equal.",
                    "none",
                    "min(shippyard_backup_drill_success{@kept})",
                    Step(1, "green"),
                    base="red",
                ),
                light(
                    "Since one was proven",
                    "Since a backup was last restored and found equal, at worst.",
                    "s",
                    "max(time() - shippyard_backup_drill_last_success_timestamp_seconds{@kept})",
                    *of_rule("ShippyardDrillOverdue"),
                ),
                light(
                    "Would be lost",
                    "If the machine were lost now, at worst.",
                    "s",
                    "max(shippyard_backup_rpo_seconds{@kept})",
                    base="text",
                ),
                light(
                    "Gaps in the WAL",
                    "Of the WAL that is kept.",
                    "none",
                    "sum(shippyard_backup_wal_gaps{@daemon})",
                    *of_rule("ShippyardWalGap"),
                ),
                light(
                    "Failed, 24 h",
                    "Backups that ended without being published.",
                    "none",
                    'sum(increase(shippyard_backup_runs_total{@kept, outcome="failed"}[24h]))',
                    *of_rule("ShippyardBackupFailed"),
                ),
            ),
        ),
        Row(
            "Backups",
            (
                Panel(
                    "Newest of each kind",
                    "When it was started, its size, and how many are kept.",
                    "short",
                    (
                        Ask(
                            "max by (database, kind)"
                            " (shippyard_backup_last_success_timestamp_seconds{@kept})",
                            "started",
                        ),
                        Ask(
                            "max by (database, kind) (shippyard_backup_last_size_bytes{@kept})",
                            "bytes",
                        ),
                        Ask("max by (database, kind) (shippyard_backup_published{@kept})", "kept"),
                    ),
                    kind="table",
                ),
                chart(
                    "Age of the newest",
                    "By database and kind.",
                    "s",
                    Ask(
                        "time() - shippyard_backup_last_success_timestamp_seconds{@kept}",
                        "{{database}} {{kind}}",
                    ),
                    steps=of_rule("ShippyardBackupLate") + of_rule("ShippyardBackupLate", 1),
                ),
                chart(
                    "Size of the newest",
                    "By database and kind.",
                    "bytes",
                    Ask("shippyard_backup_last_size_bytes{@kept}", "{{database}} {{kind}}"),
                ),
                chart(
                    "How long one takes",
                    "Verification included.",
                    "s",
                    Ask("shippyard_backup_last_duration_seconds{@kept}", "{{database}} {{kind}}"),
                ),
                chart(
                    "Backups by outcome",
                    "Within an hour.",
                    "none",
                    Ask(
                        "sum by (outcome) (increase(shippyard_backup_runs_total{@kept}[1h]))",
                        "{{outcome}}",
                    ),
                ),
                chart(
                    "Deleted by retention",
                    "Within an hour.",
                    "none",
                    Ask(
                        "sum by (database, kind)"
                        " (increase(shippyard_backup_deleted_total{@kept}[1h]))",
                        "{{database}} {{kind}}",
                    ),
                ),
            ),
        ),
        Row(
            "Restores",
            (
                chart(
                    "What would be lost now",
                    "With the cluster, or with the whole machine; and what was promised.",
                    "s",
                    Ask(
                        "max by (database, loss) (shippyard_backup_rpo_seconds{@kept})",
                        "{{database}} {{loss}}",
                    ),
                    Ask(
                        "max by (database) (shippyard_backup_objective_seconds"
                        '{@kept, objective="rpo"})',
                        "{{database}} promised",
                    ),
                ),
                chart(
                    "How long a restore takes",
                    "Measured by the last drill, forecast for now, and promised.",
                    "s",
                    Ask(
                        "max by (database, kind) (shippyard_backup_drill_rto_seconds"
                        '{@kept, phase="total"})',
                        "{{database}} {{kind}} measured",
                    ),
                    Ask(
                        "max by (database, kind)"
                        " (shippyard_backup_restore_forecast_seconds{@kept})",
                        "{{database}} {{kind}} forecast",
                    ),
                    Ask(
                        "max by (database) (shippyard_backup_objective_seconds"
                        '{@kept, objective="rto"})',
                        "{{database}} promised",
                    ),
                ),
                chart(
                    "Since the last proof",
                    "Since a backup of each kind was last restored and found equal.",
                    "s",
                    Ask(
                        "time() - shippyard_backup_drill_last_success_timestamp_seconds{@kept}",
                        "{{database}} {{kind}}",
                    ),
                    steps=of_rule("ShippyardDrillOverdue"),
                ),
            ),
        ),
        Row(
            "WAL and copies off the machine",
            (
                chart(
                    "Since WAL last came",
                    "Arrived here and flushed; and shipped off the machine.",
                    "s",
                    Ask(
                        "time() - shippyard_backup_wal_received_timestamp_seconds{@daemon}",
                        "{{cluster}} received",
                    ),
                    Ask(
                        "time() - shippyard_backup_offsite_wal_shipped_timestamp_seconds{@daemon}",
                        "{{cluster}} shipped",
                    ),
                    steps=of_rule("ShippyardOffsiteWalLate"),
                ),
                chart(
                    "WAL kept here",
                    "Whole segments.",
                    "none",
                    Ask("shippyard_backup_wal_segments{@daemon}", "{{cluster}}"),
                ),
                chart(
                    "WAL kept by slots",
                    "On the server's disk, which it fills in the end.",
                    "bytes",
                    Ask("shippyard_health_slot_retained_wal_bytes{@}", "{{slot_name}}"),
                    Ask("shippyard_backup_wal_slot_retained_bytes{@daemon}", "ours"),
                    steps=of_check("slot_retains_wal"),
                ),
                chart(
                    "WAL archived by the server",
                    "Files each second, and failures.",
                    "ops",
                    Ask(
                        "rate(shippyard_health_archived_wal_files_total{@}[$__rate_interval])",
                        "{{cluster}} archived",
                    ),
                    Ask(
                        "rate(shippyard_health_archive_failures_total{@}[$__rate_interval])",
                        "{{cluster}} failed",
                    ),
                ),
                chart(
                    "WAL written",
                    "Bytes each second.",
                    "Bps",
                    Ask(
                        "rate(shippyard_health_wal_written_bytes_total{@}[$__rate_interval])",
                        "{{cluster}}",
                    ),
                ),
                chart(
                    "Copies off the machine",
                    "Age of the newest that was read back, and attempts that failed.",
                    "s",
                    Ask(
                        "time() - shippyard_backup_offsite_last_success_timestamp_seconds{@kept}",
                        "{{database}} {{kind}}",
                    ),
                    steps=of_rule("ShippyardOffsiteLate"),
                ),
            ),
        ),
    ),
)
